"""How one library is kept: suspended in doubt, watched and scanned otherwise."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from file_watcher.errors import CatalogUnavailable, RetryableError
from file_watcher.model import GONE, UNKNOWN, Library, Source
from file_watcher.watching.doubt import Doubt, Suspension, approval_of, loss_doubt
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.lookout import Lookout
from file_watcher.watching.memory import LossGuard, RememberedRoot
from file_watcher.watching.mounts import Mount, MountTable
from file_watcher.watching.post import Post, PostConfig
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.sight import Eyes, RootIdentity
from tests.support.keeping import LibraryNotes, ScansByHand

START = 1000.0


class StubLookout:
    """Stands as the test says: `refusal` makes it fail, `polled` makes it poll."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.polls: str | None = None
        self.lost: str | None = None
        self.polled: str | None = None
        self.can_try_again = False
        self.folders: list[tuple[bytes, int]] = []
        self.stands = 0
        self.retries = 0
        self.is_up = False

    def stand(self) -> None:
        self.is_up = False
        if self.refusal is not None:
            raise RetryableError(self.refusal)
        self.stands += 1
        self.is_up, self.polled, self.lost = True, self.polls, None

    def leave(self) -> None:
        self.is_up = False

    def why_renew(self) -> str | None:
        return self.lost

    def is_blind(self) -> bool:
        return self.polled is not None or bool(self.folders)

    def why_blind(self) -> str | None:
        return self.polled or (f"{len(self.folders)} folders cannot be watched" if self.folders else None)

    def retry(self) -> None:
        self.retries += 1

    def unwatched(self) -> list[tuple[bytes, int]]:
        return self.folders


class House:
    """A post over a real folder, whose time, lookout, scans and database are the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = START
        self.library = Library(1, "music", "production", os.fsencode(root))
        self.lookout = StubLookout()
        self.scans = ScansByHand()
        self.memory = LibraryNotes(files=1000)
        self.eyes = Eyes()
        self._to_record: deque[Callable[[], None]] = deque()
        self.post = self._make()

    def _make(self) -> Post:
        path_filter = PathFilter(self.library.root, ("*.mp3",), (), recursive=True)
        return Post(
            PostConfig(rescan_interval=3600, poll_interval=30, loss_guard=LossGuard(0.5, 100)),
            self.library,
            path_filter,
            cast("Lookout", self.lookout),
            self.eyes,
            self.memory,
            lambda: cast("ScanStage", self.scans),
            self._to_record.append,
        )

    def restart(self) -> None:
        """The service ends and starts again; what was remembered stays."""
        self.eyes, self.scans, self.lookout = Eyes(), ScansByHand(), StubLookout()
        self.post = self._make()

    def use_table(self, table: Callable[[], MountTable]) -> None:
        """Let this be the mount table from now on; before the first step."""
        self.eyes = Eyes(table)
        self.post = self._make()

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.post.step(self.now)
        self.record()

    def record(self) -> None:
        while self._to_record:
            self._to_record[0]()
            self._to_record.popleft()

    def finish_scan(self, **counts: int) -> None:
        job = self.scans.finish(None, **counts)
        assert job.report is not None
        self.post.note_scanned(job, job.report)
        self.record()

    def run(self) -> None:
        """Begin, and end the first scan."""
        self.step()
        self.finish_scan()
        assert self.post.trouble() is None

    def is_active(self) -> bool:
        """A question rather than an attribute: the type checker believes that those stay what they were."""
        return self.post.active

    def is_approved(self) -> bool:
        """Likewise."""
        return self.post.approved

    def replace_root(self) -> None:
        """Another folder takes the root's place, as when another disk is mounted."""
        self.root.rename(self.root.with_name("former"))
        self.root.mkdir()

    def lose(self, missing: int = 600) -> None:
        self.post.suspend(loss_doubt(self.library, missing, 1000), self.now)
        self.record()


@pytest.fixture
def house(tmp_path: Path) -> House:
    root = tmp_path / "music"
    root.mkdir()
    return House(root)


# beginning


def test_a_library_is_watched_before_it_is_scanned(house: House) -> None:
    assert house.post.trouble() == "music is not watched yet"
    house.step()
    assert house.lookout.is_up
    assert [(job.source, job.is_trial) for job in house.scans.jobs] == [(Source.SCAN, False)]
    assert house.post.trouble() == "music is being scanned for the first time"
    assert not house.post.is_caught_up()


def test_the_first_scan_makes_it_ready_and_is_announced_once(house: House) -> None:
    house.run()
    assert house.post.is_caught_up()
    assert house.memory.notices == [("library.scanned", {"files": 0, "seconds": 0.25, "first": True})]
    assert house.memory.roots[1].first_scan_done


def test_the_root_is_remembered_when_it_is_first_seen(house: House) -> None:
    house.step()
    result = house.root.stat()
    assert house.memory.roots[1].inode == result.st_ino
    assert house.memory.suspended == {1: None}


def test_a_missing_root_is_waited_for_and_told_once(house: House) -> None:
    house.root.rmdir()
    for _ in range(3):
        house.step()
    assert house.memory.kinds() == ["library.suspended"]
    assert house.post.trouble() == "music is suspended: the folder is not there"
    assert house.post.is_caught_up(), "nobody waits for a suspended library"

    house.root.mkdir()
    house.step()
    assert house.is_active()
    assert house.memory.kinds() == ["library.suspended", "library.resumed"]
    assert not house.post.is_caught_up()


def test_a_root_that_has_become_a_link_is_not_watched(house: House, tmp_path: Path) -> None:
    house.root.rmdir()
    (tmp_path / "elsewhere").mkdir()
    house.root.symlink_to(tmp_path / "elsewhere")
    house.step()
    assert not house.lookout.is_up
    assert "restart the service" in (house.post.trouble() or "")


def test_another_root_than_the_remembered_one_is_suspended_until_it_is_approved(house: House) -> None:
    house.run()
    house.restart()
    house.replace_root()
    house.step()
    assert not house.is_active()
    assert not house.lookout.is_up
    assert "python -m file_watcher approve music" in (house.post.trouble() or "")

    house.step()
    assert not house.is_active(), "waiting does not make it the right one"
    assert house.post.why_not_approve() is None
    house.post.approve()
    house.step(0)
    assert house.is_active()
    assert house.memory.roots[1].inode == house.root.stat().st_ino


def test_a_device_number_that_changed_with_the_boot_is_no_other_root() -> None:
    assert not RememberedRoot(7, "99").is_another_than(RootIdentity(device=5, inode=7, fsid=99))
    assert RememberedRoot(7, "98").is_another_than(RootIdentity(device=5, inode=7, fsid=99))
    on_nfs = RememberedRoot(7, "0")
    assert not on_nfs.is_another_than(RootIdentity(device=52, inode=7, fsid=0)), "seen from another host"
    assert on_nfs.is_another_than(RootIdentity(device=5, inode=7, fsid=99)), (
        "its mount point without the mount"
    )
    assert not RememberedRoot().is_another_than(RootIdentity(device=5, inode=7, fsid=99))


def test_where_only_the_kernel_may_watch_and_cannot_the_library_is_suspended(house: House) -> None:
    house.lookout.refusal = "No inotify watch is free"
    house.step()
    assert house.post.suspension == Suspension(Doubt.BLIND, "No inotify watch is free")
    house.lookout.refusal = None
    house.step()
    assert house.is_active()


def test_tries_to_watch_grow_rarer(house: House) -> None:
    house.lookout.refusal = "No inotify watch is free"
    tries: list[float] = []
    refuse, house.lookout.stand = house.lookout.stand, lambda: (tries.append(house.now), refuse())  # type: ignore[assignment, method-assign, func-returns-value]
    for _ in range(200):
        house.step()
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]


# doubt


def test_a_root_that_vanishes_suspends_and_its_return_resumes_with_a_scan(house: House) -> None:
    house.run()
    house.root.rename(house.root.with_name("away"))
    house.step()
    assert (house.post.active, house.lookout.is_up) == (False, False)
    assert house.post.trouble() == "music is suspended: the folder is not there"

    house.root.with_name("away").rename(house.root)
    house.step()
    assert house.is_active()
    assert len(house.scans.jobs) == 2
    assert not house.post.is_caught_up()
    assert house.memory.kinds() == ["library.scanned", "library.suspended", "library.resumed"]
    assert house.memory.notices[-1][1] == {"reason": "the folder is not there"}
    house.finish_scan()
    assert house.post.is_caught_up()


def test_a_root_that_stays_away_is_one_warning(house: House) -> None:
    house.run()
    house.root.rmdir()
    with capture_logs() as logs:
        for _second in range(3):
            house.step()
    assert [entry["event"] for entry in logs] == ["library_suspended"]


def test_a_scan_under_way_is_abandoned_when_the_root_vanishes(house: House) -> None:
    house.step()
    job = house.scans.jobs[-1]
    house.root.rmdir()
    house.step()
    assert job.is_abandoned()
    house.finish_scan()
    assert not house.post.scanned
    assert house.memory.kinds() == ["library.suspended"]


def test_a_scan_that_was_asked_for_just_when_the_root_vanished_says_nothing(house: House) -> None:
    house.run()
    house.root.rmdir()
    house.step()
    house.scans.request(house.library, Source.SCAN)
    house.finish_scan()
    assert house.memory.kinds() == ["library.scanned", "library.suspended"]


def test_a_root_that_was_away_between_two_steps_is_scanned(house: House) -> None:
    house.run()
    house.root.rename(house.root.with_name("away"))
    house.eyes.look(os.fsencode(house.root / "a.mp3"), house.library.id)
    house.root.with_name("away").rename(house.root)
    house.step()
    assert house.is_active()
    assert [job.source for job in house.scans.jobs] == [Source.SCAN, Source.SCAN]
    assert not house.post.is_caught_up()
    house.finish_scan()
    house.step()
    assert len(house.scans.jobs) == 2


def test_a_root_that_is_replaced_while_it_is_watched_needs_approval(house: House) -> None:
    house.run()
    house.replace_root()
    house.step()
    assert house.post.suspension is not None
    assert house.post.suspension.doubt is Doubt.ROOT_REPLACED
    house.step()
    assert not house.is_active()


def test_a_loss_is_counted_again_until_enough_is_back(house: House) -> None:
    house.run()
    house.lose()
    assert house.scans.jobs[-1].is_trial
    house.step()
    assert not house.is_active(), "the trial runs"

    house.scans.finish(missing=600)
    house.step()
    assert not house.is_active()
    first = house.scans.jobs[-1]
    house.scans.finish(missing=90)
    house.step(29)
    assert not house.is_active(), "tries are as far apart as polls"
    house.step(1)
    assert house.is_active()
    assert first.is_trial


def test_the_command_that_approves_can_be_copied() -> None:
    library = Library(1, "Tom's music", "production", b"/m")
    assert approval_of(library) == """python -m file_watcher approve 'Tom'"'"'s music'"""


def test_an_approved_loss_is_accepted_by_the_next_scan_alone(house: House) -> None:
    house.run()
    house.lose()
    house.post.approve()
    house.step(0)
    assert house.is_active()
    assert house.post.approved
    house.finish_scan(missing=600)
    assert not house.post.approved


def test_an_approval_does_not_outlive_another_doubt(house: House) -> None:
    house.run()
    house.lose()
    house.post.approve()
    house.replace_root()
    house.root.rmdir()
    house.step(0)
    house.root.mkdir()
    house.step()
    assert house.post.suspension is not None
    assert house.post.suspension.doubt is Doubt.ROOT_REPLACED


def test_only_what_is_suspended_and_there_can_be_approved(house: House) -> None:
    house.run()
    assert "not suspended" in (house.post.why_not_approve() or "")
    house.post.approve()
    assert not house.post.approved
    house.root.rmdir()
    house.step()
    assert "mended first" in (house.post.why_not_approve() or "")


# renewing and rescanning


def test_a_watch_that_lost_hints_is_renewed_and_the_library_scanned(house: House) -> None:
    house.run()
    house.lookout.lost = "hints were lost"
    assert "may have gone unseen" in (house.post.trouble() or "")
    house.step()
    assert house.lookout.stands == 2
    assert len(house.scans.jobs) == 2
    assert not house.post.is_caught_up()
    house.finish_scan()
    assert house.post.trouble() is None


def test_renewals_keep_growing_distances(house: House) -> None:
    house.run()
    renewed: list[float] = []
    for _ in range(20):
        house.lookout.lost = "hints were lost"
        before = house.lookout.stands
        house.step()
        if house.lookout.stands > before:
            renewed.append(house.now - START)
    assert renewed == [2, 3, 5, 9, 17]


def test_a_renewal_that_fails_is_tried_again(house: House) -> None:
    house.run()
    house.lookout.lost, house.lookout.refusal = "hints were lost", "No inotify watch is free"
    house.step()
    assert house.post.suspension == Suspension(Doubt.BLIND, "No inotify watch is free")
    house.lookout.refusal = None
    house.step(2)
    assert house.is_active()
    assert house.lookout.is_up
    assert house.scans.jobs[-1].source is Source.SCAN


def test_a_watched_library_is_rescanned_at_the_interval(house: House) -> None:
    house.run()
    house.step(3598)
    assert len(house.scans.jobs) == 1
    house.step(2)
    assert [job.source for job in house.scans.jobs] == [Source.SCAN, Source.RESCAN]
    assert house.post.is_caught_up(), "a rescan is not waited for"
    house.finish_scan()
    assert house.memory.kinds() == ["library.scanned", "library.scanned"]


@pytest.mark.parametrize("blindness", ["polled", "partly blind"])
def test_what_the_kernel_does_not_watch_is_polled_and_told_where_something_was_found(
    house: House, blindness: str
) -> None:
    if blindness == "polled":
        house.lookout.polls = "nfs4 does not tell of all changes"
    house.run()
    if blindness != "polled":
        house.lookout.folders = [(b"/secret", 13)]
    house.step(30)
    assert [job.source for job in house.scans.jobs] == [Source.SCAN, Source.SCAN]
    house.finish_scan()
    assert house.memory.kinds() == ["library.scanned"], "a poll that found nothing is not told"
    house.step(30)
    house.finish_scan(new=1)
    assert house.memory.kinds() == ["library.scanned", "library.scanned"]
    assert "polled" in house.post.state()


def test_a_scan_that_takes_longer_than_the_interval_is_not_asked_for_twice(house: House) -> None:
    house.lookout.polls = "nfs4 does not tell of all changes"
    house.run()
    for _ in range(100):
        house.step(30)
    assert len(house.scans.jobs) == 2
    house.finish_scan()
    house.step()
    assert len(house.scans.jobs) == 3


def test_a_library_that_the_kernel_refused_is_offered_to_it_again(house: House) -> None:
    house.lookout.polls = "No inotify watch is free"
    house.run()
    house.lookout.can_try_again = True
    house.step(30)
    assert (house.lookout.stands, len(house.scans.jobs)) == (2, 2)
    assert house.post.is_caught_up(), "a poll is not waited for"
    house.finish_scan()
    house.lookout.polls = None
    house.step(30)
    assert house.lookout.stands == 3
    assert not house.post.is_caught_up(), "what happened before the watch stood is still to be found"
    house.lookout.can_try_again = False
    house.finish_scan()
    assert house.post.state() == "watched"


# the database


def test_a_database_that_is_away_keeps_the_library_from_beginning_and_from_nothing_else(
    house: House,
) -> None:
    house.memory.is_away = True
    with pytest.raises(CatalogUnavailable):
        house.step()
    assert not house.lookout.is_up
    house.memory.is_away = False
    house.step()
    assert house.is_active()


def test_a_resumption_that_meets_a_lost_database_is_scanned_and_told_all_the_same(house: House) -> None:
    house.run()
    house.root.rename(house.root.with_name("away"))
    house.step()
    house.root.with_name("away").rename(house.root)
    house.now += 1
    house.post.step(house.now)
    house.memory.is_away = True
    with pytest.raises(CatalogUnavailable):
        house.record()
    assert len(house.scans.jobs) == 2

    house.memory.is_away = False
    house.record()
    assert house.memory.kinds()[-1] == "library.resumed"


@pytest.mark.parametrize(
    ("missing", "known", "refuses"),
    [(100, 100, False), (101, 101, True), (101, 202, False), (102, 203, True)],
)
def test_the_guard_refuses_what_exceeds_both_its_bounds(missing: int, known: int, refuses: bool) -> None:
    assert LossGuard(0.5, 100).refuses(missing, known) is refuses


# lost hints


def test_a_storm_of_lost_hints_gives_few_scans_and_the_last_one_is_followed_by_one(house: House) -> None:
    house.run()
    renewals: list[float] = []
    for _ in range(600):
        house.lookout.lost = "the kernel's queue was full and hints were lost"
        before = house.lookout.stands
        house.step()
        if house.lookout.stands > before:
            renewals.append(house.now)
            house.finish_scan()
    pauses = [later - earlier for earlier, later in pairwise(renewals)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(pauses[7:]) == {60}
    assert len(house.scans.jobs) == 1 + len(renewals) < 20

    house.lookout.lost = "the last of them"
    assert house.post.trouble() == "music is being scanned, since changes may have gone unseen"
    for _ in range(61):
        house.step()
    assert house.lookout.why_renew() is None
    assert len(house.scans.jobs) == 2 + len(renewals), "a new watch, and a scan after it"
    assert house.scans.jobs[-1].source is Source.SCAN


def test_after_calm_the_answer_to_lost_hints_is_prompt_again(house: House) -> None:
    house.run()
    for _ in range(100):
        house.lookout.lost = "lost"
        house.step()
    house.lookout.lost = None
    house.step(200)
    house.lookout.lost = "lost"
    house.step()
    assert house.lookout.why_renew() is None


# disks below the root


class Table:
    """A mount table that the test writes; the folders are real."""

    def __init__(self, *points: Path) -> None:
        self.points = set(points)

    def __call__(self) -> MountTable:
        nested = [Mount(9, 1, os.fsencode(point), "xfs", b"") for point in sorted(self.points)]
        return MountTable([Mount(1, 0, b"/", "xfs", b""), *nested])


@pytest.fixture
def point(house: House) -> Path:
    """A folder below the root that disks are mounted on, with catalogued files below it."""
    (house.root / "disk").mkdir()
    house.memory.catalogued.add(os.fsencode(house.root / "disk" / "a.mp3"))
    return house.root / "disk"


@pytest.fixture
def table(house: House, point: Path) -> Table:
    table = Table(point)
    house.use_table(table)
    return table


def test_a_disk_is_remembered_and_missed_at_the_next_start(house: House, table: Table, point: Path) -> None:
    house.run()
    assert (house.memory.roots[1].mounts or {}).keys() == {os.fsencode(point)}
    table.points.clear()
    house.restart()
    house.use_table(table)
    house.step()
    house.finish_scan(shielded=1)
    assert house.is_active()
    assert house.post.trouble() == (
        f"music is watched, but the disk usually mounted at {point} is away; its files are kept as they were told. "
        "If that is meant: python -m file_watcher approve music"
    )
    assert house.eyes.look(os.fsencode(point / "a.mp3"), house.library.id) is UNKNOWN
    assert house.post.is_caught_up(), "nobody waits for a disk"


def test_a_disk_that_comes_or_goes_brings_a_new_watch_and_a_scan(
    house: House, table: Table, point: Path
) -> None:
    house.run()
    for points in (set[Path](), {point}):
        table.points = points
        assert not house.post.is_caught_up(), "nobody watches it yet"
        house.step(200)
        assert not house.post.is_caught_up()
        house.finish_scan()
    assert house.post.is_caught_up()
    assert house.post.trouble() is None
    assert house.lookout.stands == 3
    assert len(house.scans.jobs) == 3


def test_an_approval_gives_up_a_disk_that_is_away_and_lets_its_files_go(
    house: House, table: Table, point: Path
) -> None:
    house.run()
    table.points.clear()
    house.step(200)
    house.finish_scan(shielded=500)
    assert house.post.why_not_approve() is None
    poll = house.scans.request(house.library, Source.RESCAN)
    house.post.approve()
    house.scans.finish(poll)
    assert poll.report is not None
    house.post.note_scanned(poll, poll.report)
    assert house.is_approved(), "a scan that was under way does not use it up"
    house.step()
    assert house.eyes.look(os.fsencode(point / "a.mp3"), house.library.id) is GONE
    assert house.memory.roots[1].mounts == {}
    house.finish_scan(missing=500)
    assert not house.is_approved()
    assert house.post.trouble() is None
    assert house.post.why_not_approve() is not None


def test_a_disk_without_catalogued_files_comes_and_goes_unremarked(
    house: House, table: Table, point: Path
) -> None:
    house.memory.catalogued.clear()
    table.points.clear()
    house.run()
    for points in ({point}, set[Path]()):
        table.points = points
        house.step(200)
        house.finish_scan()
        assert house.post.trouble() is None
    assert house.memory.roots[1].mounts == {}


def test_a_disk_mounted_over_files_is_in_doubt_until_a_scan_finds_them_all_on_it(
    house: House, table: Table, point: Path
) -> None:
    table.points.clear()
    house.run()
    table.points.add(point)
    house.step(200)
    house.finish_scan(shielded=3)
    assert f"another disk than before is mounted at {point}" in (house.post.trouble() or "")
    assert house.eyes.look(os.fsencode(point / "a.mp3"), house.library.id) is UNKNOWN
    house.post.approve()
    house.step()
    house.finish_scan(missing=3)
    assert house.post.trouble() is None

    house.restart()
    house.memory.roots[1] = replace(house.memory.roots[1], mounts={})
    house.use_table(table)
    house.step()
    assert "another disk" in str(house.post._disks.trouble())
    house.finish_scan()
    assert house.post.trouble() is None, "nothing was missing: the files were moved to the disk"
    assert (house.memory.roots[1].mounts or {}).keys() == {os.fsencode(point)}


def test_a_disk_mounted_behind_the_back_of_a_scan_stays_in_doubt(
    house: House, table: Table, point: Path
) -> None:
    table.points.clear()
    house.run()
    for _ in range(3):
        house.lookout.lost = "lost"
        house.step()
    house.lookout.lost = None
    table.points.add(point)
    house.step(0.1)
    assert not house.post.is_caught_up(), "the pause before the next new watch is not over"
    house.finish_scan()
    assert house.eyes.look(os.fsencode(point / "a.mp3"), house.library.id) is UNKNOWN
    house.step(60)
    assert "another disk" in str(house.post._disks.trouble())


def test_a_database_that_is_away_does_not_lose_the_sight_of_a_disk_that_went(
    house: House, table: Table
) -> None:
    house.run()
    table.points.clear()
    house.memory.is_away = True
    with pytest.raises(CatalogUnavailable):
        house.step(200)
    house.memory.is_away = False
    house.step()
    assert house.lookout.stands == 2
    assert "is away" in str(house.post._disks.trouble())


def test_folders_without_a_watch_are_tried_again_with_each_poll(house: House) -> None:
    house.run()
    house.lookout.folders = [(b"/secret", 13)]
    house.step(30)
    assert house.lookout.retries == 1
    assert house.post.state().startswith("watched, and polled every 30 s: 1 folders")
