"""What `check` says of folders and of the kernel's limits."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.cli import checking_folders
from file_watcher.cli.checking_folders import (
    Census,
    InotifyUse,
    check_folders,
    inotify_use,
    judge_budget,
    judge_own_limit,
    take_census,
)
from file_watcher.cli.findings import Finding, Mark
from file_watcher.cli.options import Given
from file_watcher.processing.lease import WriterProbe
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.inotify_tree import Reader
from file_watcher.watching.limits import InotifyLimits
from file_watcher.watching.mounts import MountTable


def census(root: Path, *, recursive: bool = True, seconds: float = 60) -> Census:
    path_filter = PathFilter(os.fsencode(root), ["*.mp3"], [".*"], recursive=recursive)
    return take_census(os.fsencode(root), path_filter, time.monotonic() + seconds)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("a/b", "c", ".hidden/d"):
        (tmp_path / "lib" / folder).mkdir(parents=True)
        (tmp_path / "lib" / folder / "song.mp3").write_bytes(b"x")
    (tmp_path / "lib" / "notes.txt").write_bytes(b"x")
    (tmp_path / "lib" / "link").symlink_to(tmp_path)
    return tmp_path / "lib"


def findings(root: Path, **options: str) -> list[Finding]:
    return list(check_folders(Given({"data_dir": str(root), **options}, None).load()))


def test_a_census_counts_what_is_wanted_and_follows_no_link(tree: Path) -> None:
    found = census(tree)
    assert (found.folders, found.files, found.unlisted, found.complete) == (4, 2, 0, True)
    assert found.sample in {os.fsencode(tree / "a" / "b" / "song.mp3"), os.fsencode(tree / "c" / "song.mp3")}


def test_a_census_of_one_folder_counts_one(tree: Path) -> None:
    assert census(tree, recursive=False).folders == 1


def test_a_census_ends_at_its_deadline_and_says_so(tree: Path) -> None:
    assert census(tree, seconds=-1).complete is False


def test_a_folder_that_cannot_be_listed_is_counted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refusing(path: Any) -> Any:
        if os.fsencode(path).endswith(b"/c"):
            raise PermissionError
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert (census(tree).unlisted, census(tree).files) == (1, 1)
    assert Mark.PROBLEM in {finding.mark for finding in findings(tree)}


def test_a_library_that_is_well_is_told_in_lines_that_say_how_it_is_watched(tree: Path) -> None:
    told = findings(tree)
    assert told[0].detail == "2 files in 4 folders"
    assert {finding.subject for finding in told} == {f"folder {tree}", "inotify"}
    assert Mark.PROBLEM not in {finding.mark for finding in told}


def test_a_missing_folder_is_a_warning_since_it_is_waited_for(tmp_path: Path) -> None:
    (told,) = findings(tmp_path / "nowhere")
    assert told.mark is Mark.WARNING
    assert "waits for it" in told.detail


def test_what_is_switched_off_is_told(tree: Path) -> None:
    (told,) = findings(tree, enabled="false")
    assert told.mark is Mark.WARNING


def test_a_polled_folder_needs_no_watches(tree: Path) -> None:
    told = findings(tree, observer="polling", poll_interval="7s")
    assert any("polled every 7 s (as FILE_WATCH_OBSERVER says)" in finding.detail for finding in told)
    assert "inotify" not in {finding.subject for finding in told}


def mounted(fs_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = MountTable.parse(f"1 0 0:1 / / rw - {fs_type} none rw\n".encode())
    monkeypatch.setattr(MountTable, "read", lambda: table)


def test_a_network_folder_is_polled_unless_somebody_insists(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted("nfs4", monkeypatch)
    assert any("nfs4: polled every 30 s" in finding.detail for finding in findings(tree))
    insisted = [finding for finding in findings(tree, observer="native") if finding.mark is Mark.WARNING]
    assert [finding.mend for finding in insisted] == ["FILE_WATCH_OBSERVER=auto"]


def test_who_may_not_ask_for_writers_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted("ext4", monkeypatch)
    monkeypatch.setattr(WriterProbe, "is_open_for_writing", lambda _self, _path, **_options: None)
    told = [finding for finding in findings(tree) if "may not ask" in finding.detail]
    assert [finding.mend for finding in told] == ["run as the owner of the files, or with CAP_LEASE"]


def judged(needed: int, limits: InotifyLimits, used: InotifyUse = InotifyUse()) -> list[Finding]:  # noqa: B008
    return list(judge_budget([Census(folders=needed)], limits, used))


def test_a_budget_that_suffices_is_fine() -> None:
    assert {finding.mark for finding in judged(100, InotifyLimits(8192, 128, 16384))} == {Mark.OK}


def test_too_few_watches_are_a_problem_with_the_command_that_mends_it() -> None:
    watches, instances = judged(9_000, InotifyLimits(8192, 128, 16384))
    assert (watches.mark, instances.mark) == (Mark.PROBLEM, Mark.OK)
    assert watches.mend == "sysctl -w fs.inotify.max_user_watches=32768"


def test_watches_that_others_hold_count_as_a_warning() -> None:
    watches, instances = judged(5_000, InotifyLimits(8192, 1, 16384), InotifyUse(4_000, 1))
    assert (watches.mark, instances.mark) == (Mark.WARNING, Mark.WARNING)
    assert instances.mend == "sysctl -w fs.inotify.max_user_instances=4"


def test_a_setting_that_allows_too_few_watches_is_a_warning() -> None:
    (told,) = judge_own_limit([Census(folders=70), Census(folders=31)], 100)
    assert told.mark is Mark.WARNING
    assert "FILE_WATCH_MAX_WATCHES is 100, 101 folders are to be watched" in told.detail
    assert told.mend == "FILE_WATCH_MAX_WATCHES=256, or unset it"
    assert list(judge_own_limit([Census(folders=100)], 100)) == []
    assert list(judge_own_limit([Census(folders=100)], None)) == []


def test_limits_that_cannot_be_read_are_told() -> None:
    assert [finding.mark for finding in judged(1, InotifyLimits(None, None, None))] == [Mark.WARNING] * 2


def test_a_walk_that_was_given_up_gives_a_lower_bound() -> None:
    told = judge_budget([Census(folders=7, complete=False)], InotifyLimits(10, 10, 10), InotifyUse())
    assert all("at least" in finding.detail for finding in told)


@given(st.integers(1, 10**9))
def test_a_limit_that_is_advised_has_room(needed: int) -> None:
    assert 2 * needed <= checking_folders._roomy(needed) < 4 * needed


def test_the_watches_of_our_own_processes_are_counted(tmp_path: Path) -> None:
    before = inotify_use(Path("/proc"))
    descriptor = Reader._create_inotify_fd()
    try:
        now = inotify_use(Path("/proc"))
    finally:
        os.close(descriptor)
    assert now.instances >= before.instances + 1
    assert inotify_use(tmp_path) == InotifyUse(0, 0)
