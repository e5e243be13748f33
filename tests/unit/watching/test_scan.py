"""Scans: what differs between a tree and the rows, in order, with flat memory."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
import tracemalloc
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from file_watcher.model import CatalogEntry, FileStat
from file_watcher.watching import merge
from file_watcher.watching import scan as scan_module
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind
from file_watcher.watching.scan import ScanReport, scan

NEW, CHANGED, MISSING = FindingKind.NEW, FindingKind.CHANGED, FindingKind.MISSING
NO_STAT = FileStat(0, 0, 0, 0, 0)


class Rows:
    """A catalog that keeps its rows sorted, as the real one's index does."""

    def __init__(self, rows: Collection[CatalogEntry] = ()) -> None:
        self.rows = sorted(rows)
        self.asked = 0

    def __call__(self, after: bytes, limit: int) -> Sequence[CatalogEntry]:
        self.asked += 1
        at = bisect_right(self.rows, after, key=lambda row: row.path)
        return self.rows[at : at + limit]


def row(path: Path | bytes, *, stat: FileStat | None = None, trusted: bool = True) -> CatalogEntry:
    encoded = os.fsencode(path)
    return CatalogEntry(encoded, stat or FileStat.of(os.lstat(encoded)), trusted)


def lost(path: Path) -> CatalogEntry:
    """The row of a file that is not there."""
    return row(path, stat=NO_STAT)


def compare(
    folder: Path,
    rows: Collection[CatalogEntry] = (),
    *,
    kinds: Collection[FindingKind] = ALL_KINDS,
    wants_folder: Callable[[bytes], bool] = lambda _: True,
    recursive: bool = True,
    follow_symlinks: bool = False,
    root: Path | None = None,
    too_long: Callable[[bytes], None] = lambda _: None,
) -> tuple[ScanReport, list[tuple[FindingKind, str]]]:
    findings: list[Finding] = []
    report = scan(
        os.fsencode(folder),
        wants_file=lambda path: not path.endswith(b".part"),
        wants_folder=wants_folder,
        entries=Rows(rows),
        found=findings.append,
        should_stop=lambda: False,
        kinds=kinds,
        recursive=recursive,
        follow_symlinks=follow_symlinks,
        root=None if root is None else os.fsencode(root),
        too_long=too_long,
    )
    prefix = len(os.fsencode(folder)) + 1
    return report, [(finding.kind, os.fsdecode(finding.path[prefix:])) for finding in findings]


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_new_changed_missing_and_unchanged_files_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path, "new", "same", "a/changed", "a/racy", "a/ignored.part")
    rows = [
        row(tmp_path / "same"),
        row(tmp_path / "a/changed", stat=NO_STAT),
        row(tmp_path / "a/racy", trusted=False),
        lost(tmp_path / "a/lost"),
    ]
    report, findings = compare(tmp_path, rows)
    assert findings == [(CHANGED, "a/changed"), (MISSING, "a/lost"), (CHANGED, "a/racy"), (NEW, "new")]
    assert (report.files, report.folders) == (4, 2)
    assert (report.new, report.changed, report.missing) == (1, 2, 1)
    assert report.complete
    assert report.unlisted == ()


def test_paths_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "a!", "a0", "a.b/x", "a-b", "A", "a/b/c", "a/b.c", "ä")
    _, findings = compare(tmp_path)
    encoded = [os.fsencode(path) for _, path in findings]
    assert encoded == sorted(encoded)
    assert len(encoded) == 9


def test_kinds_that_are_not_asked_for_are_counted_and_not_told(tmp_path: Path) -> None:
    make(tmp_path, "new")
    rows = [lost(tmp_path / "lost")]
    first, told_first = compare(tmp_path, rows, kinds={NEW, CHANGED})
    second, told_second = compare(tmp_path, rows, kinds={MISSING})
    assert told_first == [(NEW, "new")]
    assert told_second == [(MISSING, "lost")]
    assert first.missing == second.new == 1


@pytest.mark.parametrize("gone", ["gone", "file"])
def test_a_folder_that_is_gone_or_a_file_now_has_lost_all_its_rows(tmp_path: Path, gone: str) -> None:
    make(tmp_path, "file")
    folder = tmp_path / gone
    beside = [lost(tmp_path / "aaa"), lost(tmp_path / f"{gone}!"), lost(tmp_path / f"{gone}0")]
    _, findings = compare(folder, [lost(folder / "1"), lost(folder / "b/2"), *beside])
    assert findings == [(MISSING, "1"), (MISSING, "b/2")]


def test_rows_beside_the_scanned_folder_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "b/x")
    rows = [lost(tmp_path / name) for name in ("a", "b!", "b", "b0", "c/d")]
    _, findings = compare(tmp_path / "b", rows)
    assert findings == [(NEW, "x")]


def test_a_file_in_the_place_of_a_folder_with_rows_says_so(tmp_path: Path) -> None:
    make(tmp_path, "was.folder", "plain", "was.folder.mp3")
    rows = Rows([lost(tmp_path / "was.folder/1"), lost(tmp_path / "was.folder-x"), lost(tmp_path / "plain!")])
    findings: dict[bytes, Finding] = {}
    scan(
        os.fsencode(tmp_path),
        wants_file=lambda _: True,
        wants_folder=lambda _: True,
        entries=rows,
        found=lambda finding: findings.update({finding.path: finding}),
        should_stop=lambda: False,
    )
    assert findings[os.fsencode(tmp_path / "was.folder")].replaces_folder
    assert not findings[os.fsencode(tmp_path / "was.folder.mp3")].replaces_folder
    assert not findings[os.fsencode(tmp_path / "plain")].replaces_folder


def test_folders_that_are_not_wanted_are_not_entered_and_their_rows_are_missing(tmp_path: Path) -> None:
    make(tmp_path, "in/x", "out/x")
    report, findings = compare(
        tmp_path, [row(tmp_path / "out/x")], wants_folder=lambda path: not path.endswith(b"out")
    )
    assert findings == [(NEW, "in/x"), (MISSING, "out/x")]
    assert report.folders == 2


def test_without_recursion_only_the_folder_itself_is_listed(tmp_path: Path) -> None:
    make(tmp_path, "x", "sub/y")
    report, findings = compare(tmp_path, recursive=False)
    assert findings == [(NEW, "x")]
    assert report.folders == 1


def test_a_folder_that_cannot_be_listed_shields_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/x", "broken/x", "broken/sub/x", "z")
    rows = [lost(tmp_path / name) for name in ("aa", "broken/lost", "broken/sub/lost", "broken0", "z")]
    real = os.scandir

    def scandir(path: bytes) -> object:
        if path.endswith(b"broken"):
            raise OSError(errno.EIO, "input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report, findings = compare(tmp_path, rows)
    assert findings == [(NEW, "a/x"), (MISSING, "aa"), (MISSING, "broken0"), (CHANGED, "z")]
    assert report.unlisted == ((os.fsencode(tmp_path / "broken"), errno.EIO),)
    assert report.complete


class Entry:
    """A directory entry whose stat fails."""

    def __init__(self, entry: os.DirEntry[bytes], number: int) -> None:
        self.name, self.path = entry.name, entry.path
        self._number = number

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return True

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        raise OSError(self._number, os.strerror(self._number))


class Entries:
    def __init__(self, path: bytes, number: int) -> None:
        with os.scandir(path) as entries:
            self._entries = [Entry(entry, number) for entry in entries]

    def __enter__(self) -> list[Entry]:
        return self._entries

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("number", "expected", "unlisted"),
    [(errno.ENOENT, [(MISSING, "known")], 0), (errno.EACCES, [], 1)],
)
def test_a_file_that_cannot_be_looked_at_is_unknown_and_one_that_vanished_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: list[tuple[FindingKind, str]],
    unlisted: int,
) -> None:
    make(tmp_path, "known", "new")
    rows = [row(tmp_path / "known")]
    entries = Entries(os.fsencode(tmp_path), number)
    monkeypatch.setattr(os, "scandir", lambda _: entries)
    report, findings = compare(tmp_path, rows)
    assert findings == expected
    assert len(report.unlisted) == unlisted
    assert report.files == 0


def test_what_lies_deeper_than_a_path_may_be_is_told_as_such_and_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "beside")
    too_long: list[bytes] = []
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        for level in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
            if len(os.fsencode(tmp_path)) + 201 * (level + 1) in range(4096 - 202, 4096):
                Path("f" * 201).touch()
        report, findings = compare(tmp_path, too_long=too_long.append)
    finally:
        os.chdir(before)
        shutil.rmtree(tmp_path / ("d" * 200))
    assert findings == [(NEW, "beside")]
    assert report.unlisted == (), "that is no fault of the disk, and shields nothing"
    assert sorted(path[-1:] for path in too_long) == [b"d", b"f"]
    assert min(map(len, too_long)) >= 4096


def test_a_tree_of_a_thousand_levels_is_walked(tmp_path: Path) -> None:
    folders = [os.path.join(tmp_path, *"d" * depth) for depth in range(1, 1200)]
    for folder in folders:
        os.mkdir(folder)
    try:
        report, findings = compare(tmp_path, [lost(tmp_path / "e")])
    finally:
        for folder in reversed(folders):
            os.rmdir(folder)
    assert findings == [(MISSING, "e")]
    assert report.folders == 1200


def test_links_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "real/x")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "file").symlink_to("real/x")
    os.mkfifo(tmp_path / "fifo")
    _, findings = compare(tmp_path, [row(tmp_path / "folder/x")])
    assert findings == [(MISSING, "folder/x"), (NEW, "real/x")]
    _, through_link = compare(tmp_path / "folder", [row(tmp_path / "folder/x")], root=tmp_path)
    assert through_link == [(MISSING, "x")]


def test_links_are_followed_on_demand_inside_the_root_and_never_in_circles(tmp_path: Path) -> None:
    library, outside = tmp_path / "library", tmp_path / "outside"
    make(library, "real/x")
    make(outside, "y")
    (library / "real/up").symlink_to("..")
    (library / "folder").symlink_to("real")
    (library / "file").symlink_to("real/x")
    (library / "out").symlink_to(outside)
    (library / "out.file").symlink_to(outside / "y")
    (library / "loop").symlink_to("loop")
    (library / "dangling").symlink_to("nowhere")
    _, findings = compare(library, follow_symlinks=True)
    assert findings == [(NEW, "file"), (NEW, "folder/x"), (NEW, "real/x")]


def test_a_scan_of_a_part_follows_the_same_links_as_one_of_the_whole(tmp_path: Path) -> None:
    make(tmp_path, "album/x", "part/y")
    (tmp_path / "album/back").symlink_to("..")
    (tmp_path / "part/other").symlink_to("../album")
    _, whole = compare(tmp_path, follow_symlinks=True)
    assert whole == [(NEW, "album/x"), (NEW, "part/other/x"), (NEW, "part/y")]
    assert compare(tmp_path / "album", follow_symlinks=True, root=tmp_path)[1] == [(NEW, "x")]
    assert compare(tmp_path / "part", follow_symlinks=True, root=tmp_path)[1] == [
        (NEW, "other/x"),
        (NEW, "y"),
    ]
    rows = [lost(tmp_path / "album/back/part/y")]
    _, in_a_circle = compare(tmp_path / "album/back/part", rows, follow_symlinks=True, root=tmp_path)
    assert in_a_circle == [(MISSING, "y")]
    assert compare(tmp_path / "part/other/back", follow_symlinks=True, root=tmp_path)[1] == []


def test_folders_that_all_link_to_one_another_end_a_scan_soon_and_nothing_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them have ten million names without a circle."""
    monkeypatch.setattr(scan_module, "_MOST_NESTED", 50)
    names = [f"{number}" for number in range(10)]
    make(tmp_path, *(f"{name}/x" for name in names))
    pairs = list(itertools.permutations(names, 2))
    for name, other in pairs:
        (tmp_path / name / f"to {other}").symlink_to(f"../{other}")
    rows = [row(tmp_path / "9/to 8/to 7/to 6/to 5/x"), lost(tmp_path / "9/to 8/gone")]
    with capture_logs() as logs:
        report, findings = compare(tmp_path, rows, follow_symlinks=True)
    assert report.complete
    assert [each["event"] for each in logs] == ["links_not_followed"]
    found = {path for kind, path in findings if kind is NEW}
    assert {f"{name}/x" for name in names} <= found
    assert {f"{name}/to {other}/x" for name, other in pairs} <= found
    assert len(found) <= len(names) + len(pairs) + 50
    assert [path for kind, path in findings if kind is MISSING] == ["9/to 8/gone"]


@pytest.mark.parametrize("follow_symlinks", [False, True])
def test_a_folder_that_becomes_a_link_while_it_is_listed_is_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow_symlinks: bool
) -> None:
    library, outside = tmp_path / "library", tmp_path / "outside"
    make(library, "trap/x", "z")
    make(outside, "secret/y")
    listed: list[bytes] = []
    scandir = os.scandir

    def swapping(folder: bytes) -> object:
        listed.append(folder)
        if folder.endswith(b"trap"):
            (library / "trap").rename(library / "aside")
            (library / "trap").symlink_to(outside)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", swapping)
    report, findings = compare(library, follow_symlinks=follow_symlinks)
    assert findings == [(NEW, "z")]
    assert listed == [os.fsencode(library), os.fsencode(library / "trap")], (
        "the secret folder was not entered"
    )
    assert report.unlisted == ()


def test_a_scan_that_is_stopped_says_so_and_calls_nothing_missing(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b/x")
    findings: list[Finding] = []
    report = scan(
        os.fsencode(tmp_path),
        wants_file=lambda _: True,
        wants_folder=lambda _: True,
        entries=Rows([lost(tmp_path / "z")]),
        found=findings.append,
        should_stop=lambda: bool(findings),
    )
    assert not report.complete
    assert [finding.kind for finding in findings] == [NEW]


def test_what_the_receiver_raises_ends_the_scan(tmp_path: Path) -> None:
    make(tmp_path, "x")

    def refuse(_: Finding) -> None:
        raise LookupError("no room")

    with pytest.raises(LookupError, match="no room"):
        scan(
            os.fsencode(tmp_path),
            wants_file=lambda _: True,
            wants_folder=lambda _: True,
            entries=Rows(),
            found=refuse,
            should_stop=lambda: False,
        )


NAMES = st.sampled_from(["a", "a!", "a-", "a.b", "a0", "b", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=150)
@given(on_disk=st.sets(PATHS, max_size=12), in_rows=st.sets(PATHS, max_size=12), data=st.data())
def test_every_tree_and_catalog_give_what_comparing_two_sets_gives(
    on_disk: set[str], in_rows: set[str], data: st.DataObject
) -> None:
    page = data.draw(st.integers(1, 4), label="rows per page")
    changed = data.draw(st.sets(PATHS, max_size=4), label="changed")
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "PAGE_ROWS", page)
        root = Path(name)
        files = {path for path in on_disk if not any(other.startswith(path + "/") for other in on_disk)}
        make(root, *files)
        rows = [
            lost(root / path) if path in changed or path not in files else row(root / path)
            for path in in_rows
        ]
        findings: list[Finding] = []
        scan(
            os.fsencode(root),
            wants_file=lambda _: True,
            wants_folder=lambda _: True,
            entries=Rows(rows),
            found=findings.append,
            should_stop=lambda: False,
        )
    expected = dict.fromkeys(files - in_rows, NEW)
    expected |= dict.fromkeys(files & in_rows & changed, CHANGED)
    expected |= dict.fromkeys(in_rows - files, MISSING)
    told = {os.fsdecode(finding.path)[len(name) + 1 :]: finding for finding in findings}
    assert {path: finding.kind for path, finding in told.items()} == expected
    assert [finding.path for finding in findings] == sorted(finding.path for finding in findings)
    for path, finding in told.items():
        has_rows_below = any(other.startswith(path + "/") for other in in_rows)
        assert finding.replaces_folder is (has_rows_below and finding.kind is not MISSING)


def test_new_files_beside_many_rows_cost_no_question_each(tmp_path: Path) -> None:
    make(tmp_path, *(f"new{number}" for number in range(300)), *(f"old{number}" for number in range(300)))
    rows = Rows([row(tmp_path / f"old{number}") for number in range(300)])
    scan(
        os.fsencode(tmp_path),
        wants_file=lambda _: True,
        wants_folder=lambda _: True,
        entries=rows,
        found=lambda _: None,
        should_stop=lambda: False,
    )
    assert rows.asked == 1


def test_memory_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    for folder in range(50):
        (tmp_path / str(folder)).mkdir()
        for number in range(200):
            os.close(os.open(tmp_path / str(folder) / str(number), os.O_CREAT | os.O_WRONLY))

    def pages(after: bytes, limit: int) -> Sequence[CatalogEntry]:
        """Rows of files that are lost, made on the fly so that they take no memory of ours."""
        first = int(after[-8:]) + 1 if after[-8:].isdigit() else 0
        top = os.fsencode(tmp_path)
        return [
            CatalogEntry(top + b"/z%08d" % n, NO_STAT, trusted=True)
            for n in range(first, min(first + limit, 40_000))
        ]

    def scan_all() -> ScanReport:
        return scan(
            os.fsencode(tmp_path),
            wants_file=lambda _: True,
            wants_folder=lambda _: True,
            entries=pages,
            found=lambda _: None,
            should_stop=lambda: False,
        )

    tracemalloc.start()
    try:
        report = scan_all()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.new, report.missing) == (10_000, 40_000)
    assert peak < 2_000_000
