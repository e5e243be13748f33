"""The disks below a root: known, away or in doubt, and what that means for looks and scans."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from file_watcher.model import CatalogEntry, FileStat
from file_watcher.watching.merge import Finding
from file_watcher.watching.mounts import Mount, MountTable
from file_watcher.watching.nested import MountIdentity, NestedMounts, identify_mount
from file_watcher.watching.scan import scan

ROOT = b"/music"
USUAL, OTHER = MountIdentity(2, "77"), MountIdentity(2, "78")


class Disks:
    """What is mounted, by mount point; None for a disk that does not answer."""

    def __init__(self, **mounted: MountIdentity | None) -> None:
        self.mounted = {ROOT + b"/" + name.encode(): each for name, each in mounted.items()}
        self.asked = 0
        self._table: MountTable | None = None

    def change(self, **mounted: MountIdentity | None) -> None:
        self.mounted = {ROOT + b"/" + name.encode(): each for name, each in mounted.items()}
        self._table = None

    def table(self) -> MountTable:
        if self._table is None:
            nested = [Mount(number, 1, point, "xfs", b"") for number, point in enumerate(self.mounted, 2)]
            self._table = MountTable([Mount(1, 0, b"/", "ext4", b""), *nested])
        return self._table

    def identify(self, point: bytes) -> MountIdentity | None:
        self.asked += 1
        return self.mounted[point]


def nested_over(disks: Disks, known: dict[bytes, MountIdentity] | None = None) -> NestedMounts:
    return NestedMounts(ROOT, disks.table, known, disks.identify)


def test_what_is_mounted_when_nothing_was_ever_recorded_is_known() -> None:
    nested = nested_over(Disks(a=USUAL, dead=None))
    assert dict(nested.known()) == {b"/music/a": USUAL}
    assert nested.now().in_doubt == {b"/music/dead"}


def test_the_usual_disk_is_nothing_special() -> None:
    below = nested_over(Disks(a=USUAL), {b"/music/a": USUAL}).now()
    assert (below.away, below.in_doubt) == (frozenset(), frozenset())
    assert not below.shields(b"/music/a/song.mp3")
    assert below.mount_under(b"/music/a/song.mp3") == b"/music/a"
    assert below.mount_under(b"/music/other.mp3") is None


@pytest.mark.parametrize(
    ("mounted", "known"), [({"a": OTHER}, {b"/music/a": USUAL}), ({"a": OTHER}, {}), ({"a": None}, {})]
)
def test_another_a_new_and_a_dead_disk_are_in_doubt(
    mounted: dict[str, MountIdentity | None], known: dict[bytes, MountIdentity]
) -> None:
    below = nested_over(Disks(**mounted), known).now()
    assert below.in_doubt == {b"/music/a"}
    assert below.shields(b"/music/a/song.mp3")
    assert not below.is_away(b"/music/a/song.mp3")


def test_only_what_lies_below_the_mount_point_is_shielded() -> None:
    below = nested_over(Disks(), {b"/music/a": USUAL}).now()
    assert below.away == {b"/music/a"}
    assert below.is_away(b"/music/a")
    assert below.is_away(b"/music/a/deep/song.mp3")
    assert not below.is_away(b"/music/ab/song.mp3")
    assert not below.shields(b"/music/a.mp3")


def test_disks_are_asked_only_when_the_table_has_changed() -> None:
    disks = Disks(a=USUAL)
    nested = nested_over(disks)
    for _ in range(5):
        nested.now()
    assert disks.asked == 1
    disks.change()
    assert nested.now().away == {b"/music/a"}
    disks.change(a=USUAL)
    assert nested.now().away == frozenset()


def test_what_is_learnt_is_known_and_what_is_forgotten_is_not_missed() -> None:
    disks = Disks(a=USUAL)
    nested = nested_over(disks, {b"/music/gone": USUAL})
    nested.learn([b"/music/a"])
    nested.forget([b"/music/gone"])
    assert dict(nested.known()) == {b"/music/a": USUAL}
    below = nested.now()
    assert not below.away | below.in_doubt
    disks.change(a=None)
    nested.learn([b"/music/a"])
    assert dict(nested.known()) == {b"/music/a": USUAL}, "a disk that does not answer teaches nothing"


def test_a_folder_is_told_from_another_by_its_inode_and_filesystem(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = identify_mount(os.fsencode(tmp_path / "a")), identify_mount(os.fsencode(tmp_path / "b"))
    assert first is not None
    assert second is not None
    assert first.fsid == second.fsid
    assert first != second
    assert identify_mount(os.fsencode(tmp_path / "none")) is None


def scan_with(
    root: Path, rows: Sequence[bytes], *, away: bytes, shielded: bytes
) -> tuple[int, int, list[bytes]]:
    """Scan against rows of files that are not there; counts of missing and shielded, and what was found."""
    catalog = [CatalogEntry(path, FileStat(0, 0, 0, 0, 0), trusted=True) for path in sorted(rows)]
    found: list[Finding] = []
    report = scan(
        os.fsencode(root),
        wants_file=lambda _: True,
        wants_folder=lambda _: True,
        entries=lambda after, limit: [row for row in catalog if row.path > after][:limit],
        found=found.append,
        should_stop=lambda: False,
        is_away=lambda path: (path + b"/").startswith(away + b"/"),
        shields=lambda path: path.startswith((away + b"/", shielded + b"/")),
    )
    return report.missing, report.shielded, [finding.path for finding in found]


def test_a_scan_neither_looks_below_a_disk_that_is_away_nor_misses_what_lay_there(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "bare.mp3").write_bytes(b"in the bare folder")
    (tmp_path / "over").mkdir()
    (tmp_path / "over" / "new.mp3").write_bytes(b"on the new disk")
    rows = [root + b"/away/1.mp3", root + b"/over/2.mp3", root + b"/plain/3.mp3"]
    missing, shielded, found = scan_with(tmp_path, rows, away=root + b"/away", shielded=root + b"/over")
    assert (missing, shielded) == (1, 1)
    assert found == [root + b"/over/new.mp3", root + b"/plain/3.mp3"]


def test_a_scan_misses_nothing_where_the_mount_point_itself_is_gone(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    rows = [root + b"/away/1.mp3", root + b"/away/deep/2.mp3"]
    assert scan_with(tmp_path, rows, away=root + b"/away", shielded=root + b"/x") == (0, 2, [])
