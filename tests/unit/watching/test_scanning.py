"""The scanning stage: hints at what differs, waits for what that decides, and only then at what is missing."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline
from file_watcher.model import CatalogEntry, FileStat, Hint, HintKind, Library, Source, Ticket
from file_watcher.telemetry import Telemetry
from file_watcher.watching.comparing import ScanConfig
from file_watcher.watching.dirty import DebounceBounds, DebounceTiming
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sight import Eyes
from tests.support.waiting import wait_for

NO_STAT = FileStat(0, 0, 0, 0, 0)


class Rows:
    """A catalog of paths. `outages` makes that many questions fail; `gate` holds every question up."""

    def __init__(self) -> None:
        self.paths: dict[bytes, FileStat] = {}
        self.outages = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def below(self, folder: bytes, after: bytes, limit: int) -> Sequence[CatalogEntry]:
        self.asked.set()
        assert self.gate.wait(10)
        if self.outages:
            self.outages -= 1
            raise CatalogUnavailable("the database is away")
        prefix = folder.rstrip(b"/") + b"/"
        known = sorted(path for path in self.paths if path > after and path.startswith(prefix))
        return [CatalogEntry(path, self.paths[path], trusted=True) for path in known[:limit]]

    def recorded_inodes(self, inodes: Collection[int]) -> Collection[int]:
        known = {stat.inode for stat in self.paths.values()}
        return known.intersection(inodes)

    def outside(self, library: Library, after: bytes, limit: int) -> Sequence[bytes]:
        return sorted(path for path in self.paths if path > after and not library.holds(path))[
            : min(limit, 2)
        ]


class Scanned(Telemetry):
    """Counts errors and scans."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.scans = 0

    def error(self, stage: str) -> None:
        self.errors.append(stage)

    def scanned(self, library: Library, seconds: float, files: int) -> None:
        self.scans += 1


class Room:
    """A scanning stage over a real folder, a real scheduler, and whoever decides its tickets."""

    def __init__(self, root: Path, room: int = 1000, bounds: DebounceBounds | None = None) -> None:
        self.root = root
        self.library = Library(1, "music", "production", os.fsencode(root))
        path_filter = PathFilter(self.library.root, ("*.mp3",), ("*.part",), recursive=True)
        self.rows = Rows()
        self.tickets: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.allowed = True
        self.config = ScanConfig()
        self.asked_to_delete: list[int] = []
        self.scanned: list[tuple[ScanJob, ScanReport]] = []
        self.telemetry = Scanned()
        self.failures: list[tuple[str, BaseException]] = []
        self.scheduler = Scheduler(
            lambda _: DebounceTiming(0.01),
            lambda hint, library: True,
            self.deliver,
            lambda ticket: self.stage.request_folder(ticket),  # noqa: PLW0108 - built below
            Telemetry(),
            self.fail,
            bounds=bounds,
        )
        self.stage = ScanStage(
            lambda _: self.config,
            room,
            self.rows,
            Eyes(),
            lambda library: path_filter,
            self.scheduler,
            lambda noticed, timeout: self.scheduler.wait_until_decided(noticed, 30, timeout),
            self.may_delete,
            lambda job, report: self.scanned.append((job, report)),
            self.telemetry,
            self.fail,
        )

    def deliver(self, ticket: Ticket, timeout: float) -> bool:
        self.tickets.put(ticket)
        return True

    def fail(self, thread: str, error: BaseException) -> None:
        self.failures.append((thread, error))

    def may_delete(self, job: ScanJob, missing: int) -> bool:
        self.asked_to_delete.append(missing)
        return self.allowed

    def file(self, name: str, *, known: bool = False) -> bytes:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"la")
        if known:
            self.rows.paths[os.fsencode(path)] = FileStat.of(path.lstat())
        return os.fsencode(path)

    def lost(self, name: str) -> bytes:
        path = os.fsencode(self.root / name)
        self.rows.paths[path] = NO_STAT
        return path

    def next_paths(self, count: int) -> list[bytes]:
        """Take so many tickets, one after the other, and decide them."""
        paths: list[bytes] = []
        for _ in range(count):
            ticket = self.tickets.get(timeout=10)
            paths.append(ticket.path)
            self.scheduler.done(ticket)
        return paths

    def waiting_paths(self) -> list[bytes]:
        """Take the tickets that wait now, and decide them."""
        return self.next_paths(self.tickets.qsize())

    def request(self) -> ScanJob:
        return self.stage.request(self.library, Source.SCAN)

    def folder_hint(self, name: str, moved_from: str | None = None) -> None:
        origin = None if moved_from is None else os.fsencode(self.root / moved_from)
        hint = Hint(os.fsencode(self.root / name), HintKind.MOVED, is_folder=True, moved_from=origin)
        self.scheduler.observe(hint, self.library)


@contextmanager
def working(root: Path, room: int = 1000) -> Iterator[Room]:
    with started(Room(root, room)) as at:
        yield at


@contextmanager
def started(at: Room) -> Iterator[Room]:
    at.scheduler.start()
    at.stage.start()
    try:
        yield at
    finally:
        at.rows.gate.set()
        for part in (at.stage, at.scheduler):
            part.close()
        deadline = Deadline(5)
        assert at.stage.join(deadline)
        assert at.scheduler.join(deadline)
    assert at.failures == []


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Room]:
    root = tmp_path / "music"
    root.mkdir()
    with working(root) as room:
        yield room


# whole libraries


def test_a_scan_hints_at_what_differs_and_says_when_all_is_decided(at: Room) -> None:
    new = at.file("a/new.mp3")
    changed = at.file("b/changed.mp3")
    at.rows.paths[changed] = NO_STAT
    at.file("c/known.mp3", known=True)
    job = at.request()
    assert sorted(at.next_paths(2)) == [new, changed]
    assert job.finished.wait(10)
    assert job.report is not None
    assert (job.report.files, job.report.new, job.report.changed) == (3, 1, 1)
    wait_for(lambda: at.scanned == [(job, job.report)], "the word that it is done")
    assert at.telemetry.scans == 1
    assert at.stage.depth() == 0


def test_a_scan_tells_apart_what_nobody_knows_and_what_may_have_moved(at: Room) -> None:
    new = at.file("new.mp3")
    moved = at.file("moved.mp3")
    changed = at.file("changed.mp3")
    at.rows.paths[at.lost("before.mp3")] = FileStat.of(os.lstat(moved))
    at.rows.paths[changed] = NO_STAT
    at.request()
    tickets = [at.tickets.get(timeout=10) for _ in range(3)]
    assert {ticket.path: ticket.is_unrecorded for ticket in tickets} == {
        new: True,
        moved: False,
        changed: False,
    }
    for ticket in tickets:
        at.scheduler.done(ticket)
    assert at.next_paths(1) == [os.fsencode(at.root / "before.mp3")]


def test_new_files_do_not_wait_for_the_room_that_a_changed_one_needs(tmp_path: Path) -> None:
    with working(tmp_path, room=1) as at:
        first, new, changed = at.file("a.mp3"), at.file("b.mp3"), at.file("c.mp3")
        at.rows.paths[changed] = NO_STAT
        at.request()
        assert at.next_paths(3) == [first, new, changed]


def test_a_scan_is_not_finished_while_a_finding_is_undecided(at: Room) -> None:
    at.file("a.mp3")
    job = at.request()
    ticket = at.tickets.get(timeout=10)
    assert not job.finished.wait(0.3)
    at.scheduler.done(ticket)
    assert job.finished.wait(10)


def test_what_is_missing_comes_after_what_appeared_was_decided(at: Room) -> None:
    new, gone = at.file("new.mp3"), at.lost("gone.mp3")
    job = at.request()
    ticket = at.tickets.get(timeout=10)
    assert ticket.path == new
    with pytest.raises(queue.Empty):
        at.tickets.get(timeout=0.3)
    assert at.asked_to_delete == []
    at.scheduler.done(ticket)
    assert at.next_paths(1) == [gone]
    assert job.finished.wait(10)
    assert at.asked_to_delete == [1]


def test_what_is_missing_comes_after_what_appeared_in_libraries_whose_scans_wait(at: Room) -> None:
    """Otherwise a file that was moved to another library while nobody watched would be given up."""
    first = Library(1, "first", "production", os.fsencode(at.root / "first"))
    second = Library(2, "second", "production", os.fsencode(at.root / "second"))
    came, gone = at.file("second/moved.mp3"), at.lost("first/moved.mp3")
    at.file("first/stays.mp3", known=True)
    at.rows.gate.clear()
    jobs = [at.stage.request(library, Source.SCAN) for library in (first, second)]
    at.rows.gate.set()
    ticket = at.tickets.get(timeout=10)
    assert ticket.path == came
    assert ticket.library == second
    assert at.asked_to_delete == []
    at.rows.paths[came] = at.rows.paths.pop(gone)
    at.scheduler.done(ticket)
    assert at.next_paths(1) == [came], "its own scan looks for itself"
    assert all(job.finished.wait(10) for job in jobs)
    assert at.asked_to_delete == [], "the row went along with its file: nothing is missing"


def test_what_is_missing_waits_until_all_libraries_have_asked_for_their_scans(at: Room) -> None:
    """Otherwise a library that takes long to watch would come too late to tell where the files went."""
    gone = at.lost("gone.mp3")
    at.stage.gather()
    job = at.request()
    with pytest.raises(queue.Empty):
        at.tickets.get(timeout=0.3)
    assert at.asked_to_delete == []
    at.stage.gathered()
    assert at.next_paths(1) == [gone]
    assert job.finished.wait(10)


def test_a_library_that_hangs_does_not_hold_up_the_others_for_ever(
    at: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.watching.scanning._OTHERS_SECONDS", 0.1)
    gone = at.lost("gone.mp3")
    at.stage.gather()
    at.request()
    assert at.next_paths(1) == [gone]


def test_what_was_claimed_by_a_move_meanwhile_is_not_counted_as_missing(at: Room) -> None:
    """Otherwise a big folder that was renamed while the service was down would look like a loss."""
    olds = [at.lost(f"old/{number}.mp3") for number in range(5)]
    still_gone = at.lost("gone.mp3")
    for number in range(5):
        at.file(f"new/{number}.mp3")
    job = at.request()
    tickets = [at.tickets.get(timeout=10) for _ in range(5)]
    for old, ticket in zip(olds, tickets, strict=True):
        del at.rows.paths[old]
        at.rows.paths[ticket.path] = FileStat.of(os.lstat(ticket.path))
        at.scheduler.done(ticket)
    assert at.next_paths(1) == [still_gone]
    assert job.finished.wait(10)
    assert at.asked_to_delete == [1]


def test_what_the_kernel_has_just_told_of_is_not_counted_as_a_loss(tmp_path: Path) -> None:
    """A scan while many files are being deleted must not look like a fault of the disk."""
    at = Room(tmp_path)
    silent, told = at.lost("silent.mp3"), {at.file(f"{number}.mp3", known=True) for number in range(5)}
    is_decided = at.stage._is_decided

    def deleted_meanwhile(noticed_before: float, timeout: float) -> bool:
        outcome = is_decided(noticed_before, timeout)
        if outcome and told:
            for path in told:
                os.unlink(path)
                at.scheduler.observe(Hint(path, HintKind.DELETED), at.library)
            told.clear()
        return outcome

    at.stage._is_decided = deleted_meanwhile
    with started(at):
        job = at.request()
        while not job.finished.wait(0.01):
            with suppress(queue.Empty):
                ticket = at.tickets.get(timeout=0.1)
                at.rows.paths.pop(ticket.path, None)
                at.scheduler.done(ticket)
    assert at.asked_to_delete == [1]
    assert silent not in at.rows.paths


def test_a_loss_that_the_guard_refuses_is_not_hinted_at_nor_told_as_scanned(at: Room) -> None:
    at.lost("gone.mp3")
    at.allowed = False
    job = at.request()
    assert job.finished.wait(10)
    assert job.report is None
    assert at.tickets.empty()
    assert at.scanned == []
    assert at.telemetry.scans == 0


def test_a_trial_counts_and_does_nothing_else(at: Room) -> None:
    at.file("new.mp3")
    at.lost("gone.mp3")
    job = at.stage.request_trial(at.library)
    assert job.finished.wait(10)
    assert job.report is not None
    assert (job.report.new, job.report.missing) == (1, 1)
    assert at.tickets.empty()
    assert (at.asked_to_delete, at.scanned) == ([], [])


def test_a_scan_that_has_not_begun_serves_all_who_ask(at: Room) -> None:
    at.rows.gate.clear()
    first = at.request()
    assert at.rows.asked.wait(10)
    second = at.request()
    assert second is not first, "one that runs may have passed the change already"
    assert at.request() is second
    assert at.stage.request_trial(at.library) is not second
    assert at.stage.depth() == 3
    at.rows.gate.set()
    assert first.finished.wait(10)
    assert second.finished.wait(10)


def test_an_abandoned_scan_ends_without_a_report(at: Room) -> None:
    at.file("a.mp3")
    running = at.request()
    ticket = at.tickets.get(timeout=10)
    waiting = at.request()
    trial = at.stage.request_trial(at.library)
    at.stage.abandon(at.library)
    for job in (running, waiting, trial):
        assert job.finished.wait(10)
    assert (running.report, waiting.report) == (None, None)
    assert trial.report is not None
    assert at.scanned == []
    at.scheduler.done(ticket)


def test_a_scan_that_loses_the_database_begins_anew(at: Room) -> None:
    at.file("a.mp3")
    at.rows.outages = 1
    job = at.request()
    assert at.next_paths(1) == [os.fsencode(at.root / "a.mp3")]
    assert job.finished.wait(10)
    assert job.report is not None
    assert at.telemetry.errors == ["db"]


def test_a_larger_buffer_lets_a_scan_go_on_that_waits_for_room(tmp_path: Path) -> None:
    with working(tmp_path, room=3) as at:
        for number in range(10):
            at.file(f"{number}.mp3")
        at.request()
        held = [at.tickets.get(timeout=10) for _ in range(3)]
        at.stage.resize(5)
        held += [at.tickets.get(timeout=10) for _ in range(7)]
        for ticket in held:
            at.scheduler.done(ticket)


def test_a_library_is_scanned_by_its_rules_of_the_moment(tmp_path: Path) -> None:
    at = Room(tmp_path)
    at.file("album/a.mp3")
    top = at.file("b.mp3")
    at.config = ScanConfig(recursive=False)
    with started(at):
        at.request()
        assert at.next_paths(1) == [top]
        at.config = ScanConfig()
        at.request()
        assert at.next_paths(1) == [os.fsencode(tmp_path / "album/a.mp3")]


def test_a_scan_waits_while_too_much_is_dirty(tmp_path: Path) -> None:
    with working(tmp_path, room=3) as at:
        for number in range(10):
            at.file(f"{number}.mp3")
        job = at.request()
        held = [at.tickets.get(timeout=10) for _ in range(3)]
        with pytest.raises(queue.Empty):
            at.tickets.get(timeout=0.3)
        for ticket in held:
            at.scheduler.done(ticket)
        at.next_paths(7)
        assert job.finished.wait(10)


def test_closing_ends_a_scan_that_waits_for_decisions(tmp_path: Path) -> None:
    with working(tmp_path) as at:
        at.file("a.mp3")
        job = at.request()
        at.tickets.get(timeout=10)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert job.report is None


# folders


def test_a_folder_that_came_is_hinted_at_file_by_file(at: Room) -> None:
    paths = [at.file(f"album/{name}.mp3") for name in "abc"]
    at.folder_hint("album")
    assert at.next_paths(3) == paths
    assert at.scheduler.wait_until_decided(time.monotonic(), 30, 10)


def test_the_files_of_a_moved_folder_know_where_they_were(at: Room) -> None:
    at.file("new/cd1/a.mp3")
    at.folder_hint("new", moved_from="old")
    ticket = at.tickets.get(timeout=10)
    assert ticket.moved_from == {os.fsencode(at.root / "old/cd1/a.mp3")}
    at.scheduler.done(ticket)


def test_the_rows_of_a_folder_that_went_are_hinted_at(at: Room) -> None:
    gone = at.lost("album/a.mp3")
    at.lost("album2/b.mp3")
    at.folder_hint("album")
    assert at.next_paths(1) == [gone]
    assert at.scheduler.wait_until_decided(time.monotonic(), 30, 10)


def test_the_files_are_as_old_as_the_folders_hint(at: Room) -> None:
    at.file("album/a.mp3")
    before = time.monotonic()
    at.folder_hint("album")
    after = time.monotonic()
    ticket = at.tickets.get(timeout=10)
    assert before <= ticket.noticed <= after
    at.scheduler.done(ticket)


def test_a_name_that_files_may_have_is_looked_at_itself_as_well(at: Room) -> None:
    at.folder_hint("was-a-folder.mp3")
    assert at.next_paths(1) == [os.fsencode(at.root / "was-a-folder.mp3")]


def test_a_folder_is_compared_again_after_the_database_was_away(at: Room) -> None:
    path = at.file("album/a.mp3")
    at.rows.outages = 1
    at.folder_hint("album")
    before = time.monotonic()
    assert at.next_paths(1) == [path]
    assert time.monotonic() - before > 0.5
    assert at.telemetry.errors == ["db"]


def test_folders_are_not_held_up_by_a_scan(at: Room) -> None:
    at.file("a.mp3")
    job = at.request()
    first = at.tickets.get(timeout=10)
    path = at.file("album/b.mp3")
    at.folder_hint("album")
    assert at.next_paths(1) == [path]
    at.scheduler.done(first)
    assert job.finished.wait(10)


def test_a_great_folder_waits_for_room_and_many_folders_do_not_wait_for_one_another(tmp_path: Path) -> None:
    with working(tmp_path, room=2) as at:
        for number in range(30):
            at.file(f"album-{number}/a.mp3")
            at.folder_hint(f"album-{number}")
        assert len(at.next_paths(30)) == 30

        for number in range(20):
            at.file(f"great/{number:02}.mp3")
        at.folder_hint("great")
        held = [at.tickets.get(timeout=10) for _ in range(4)]
        with pytest.raises(queue.Empty):
            at.tickets.get(timeout=0.3)
        for ticket in held:
            at.scheduler.done(ticket)
        assert len(at.next_paths(16)) == 16


def test_a_surprise_in_a_scan_is_reported(tmp_path: Path) -> None:
    at = Room(tmp_path)
    at.rows.below = None  # type: ignore[assignment,method-assign]
    at.stage.start()
    at.request()
    wait_for(lambda: at.failures, "the report")
    assert at.failures[0][0] == "fw-scan"
    at.stage.close()
    assert at.stage.join(Deadline(5))


# in the background


def test_a_change_of_ctime_alone_is_looked_at_in_the_background_and_holds_up_nothing(tmp_path: Path) -> None:
    at = Room(tmp_path, bounds=DebounceBounds(background=100))
    for number in range(40):
        changed = at.file(f"{number:02}.mp3", known=True)
        at.rows.paths[changed] = at.rows.paths[changed]._replace(ctime_ns=1)
    fresh = at.file("fresh.mp3")
    with started(at):
        job = at.request()
        assert len({at.tickets.get(timeout=10).path for _ in range(17)} | {fresh}) == 17, (
            "and no more at once"
        )
        wait_for(lambda: at.scheduler.background_room() == 76, "the others to rest")
        assert not job.finished.is_set(), "nobody has decided the fresh one"


def test_a_change_of_size_or_mtime_is_no_matter_for_the_background(at: Room) -> None:
    changed = at.file("changed.mp3", known=True)
    at.rows.paths[changed] = at.rows.paths[changed]._replace(mtime_ns=1)
    job = at.request()
    assert not job.finished.wait(0.2)
    assert at.next_paths(1) == [changed]
    assert job.finished.wait(10)


def test_what_finds_no_room_in_the_background_is_found_by_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.watching.scanning._SWEEP_SECONDS", 0.02)
    at = Room(tmp_path, bounds=DebounceBounds(background=3))
    changed = []
    for number in range(10):
        changed.append(at.file(f"{number:02}.mp3", known=True))
        at.rows.paths[changed[-1]] = at.rows.paths[changed[-1]]._replace(ctime_ns=1)
    at.file("unchanged.mp3", known=True)
    with started(at):
        at.request()
        looked_at = at.next_paths(10)
        while set(looked_at) < set(changed):  # the first may come twice: nothing makes them sure in this test
            looked_at += at.next_paths(1)
        assert set(looked_at) == set(changed)


# folders that stand for too many dirty paths


def test_a_folder_that_stands_for_dirty_paths_hints_at_what_was_closed_though_its_stat_is_unchanged(
    tmp_path: Path,
) -> None:
    at = Room(tmp_path, room=1, bounds=DebounceBounds(waiting=4))
    closed = [at.file(f"album/{number}.mp3", known=True) for number in range(5)]
    at.file("album/other.mp3", known=True)
    new = at.file("album/new.mp3")
    for path in closed:
        at.scheduler.observe(Hint(path, HintKind.CLOSED), at.library)
    with started(at):
        tickets: list[Ticket] = []
        for _ in range(6):
            tickets.append(at.tickets.get(timeout=10))
            at.scheduler.done(tickets[-1])
        assert at.scheduler.wait_until_decided(time.monotonic(), 30, 10)
        assert {ticket.path for ticket in tickets} == {*closed, new}
        assert {ticket.path for ticket in tickets if ticket.must_hash} == set(closed)
        assert {ticket.source for ticket in tickets} == {Source.KERNEL}, (
            "other names of a file are told of it"
        )


def test_a_folder_that_stands_for_dirty_paths_waits_for_the_database(tmp_path: Path) -> None:
    at = Room(tmp_path, room=1, bounds=DebounceBounds(waiting=2))
    lost = [at.lost(f"album/{number}.mp3") for number in range(3)]
    at.rows.outages = 2
    for path in lost:
        at.scheduler.observe(Hint(path, HintKind.DELETED), at.library)
    with started(at):
        wait_for(lambda: at.rows.outages == 0, "the database to be asked")
        assert at.scheduler.is_undecided(time.monotonic(), 30)
        assert sorted(at.next_paths(3)) == lost
        assert at.scheduler.wait_until_decided(time.monotonic(), 30, 10)


def test_what_is_missing_without_a_hint_is_left_to_the_loss_guard_also_below_a_folder_that_stands_for_others(
    tmp_path: Path,
) -> None:
    at = Room(tmp_path, room=100, bounds=DebounceBounds(waiting=4))
    at.allowed = False
    closed = [at.file(f"album/{number}.mp3", known=True) for number in range(3)]
    hinted = [at.lost(f"album/hinted {number}.mp3") for number in range(3)]
    moved_out = [at.lost(f"album/moved out/{number}.mp3") for number in range(3)]
    silent = [at.lost(f"album/silent {number}.mp3") for number in range(50)]
    for path in closed:
        at.scheduler.observe(Hint(path, HintKind.CLOSED), at.library)
    for path in hinted:
        at.scheduler.observe(Hint(path, HintKind.DELETED), at.library)
    folder = Hint(os.path.dirname(moved_out[0]), HintKind.MOVED, is_folder=True)
    at.scheduler.observe(folder, at.library)
    with started(at):
        looked_at: set[bytes] = set()

        def is_asked() -> bool:
            looked_at.update(at.waiting_paths())  # some come again, since nobody deletes their rows here
            return bool(at.asked_to_delete)

        wait_for(is_asked, "the guard to be asked")
        assert looked_at == {*closed, *hinted, *moved_out}
        assert at.asked_to_delete[0] == len(silent + hinted + moved_out)


def test_what_the_guard_lets_pass_is_found_missing_below_a_folder_that_stands_for_others(
    tmp_path: Path,
) -> None:
    at = Room(tmp_path, room=100, bounds=DebounceBounds(waiting=2))
    closed = [at.file(f"album/{number}.mp3", known=True) for number in range(3)]
    silent = at.lost("album/silent.mp3")
    for path in closed:
        at.scheduler.observe(Hint(path, HintKind.CLOSED), at.library)
    with started(at):
        assert set(at.next_paths(3)) == set(closed)
        assert at.next_paths(1) == [silent]
        assert at.asked_to_delete == [1]


def test_what_is_catalogued_where_the_root_was_before_counts_as_missing_once_somebody_asks(
    tmp_path: Path,
) -> None:
    with working(tmp_path) as at:
        song = at.file("a.mp3", known=True)
        strays = sorted(b"/formerly/%d.mp3" % number for number in range(5))
        at.rows.paths.update(dict.fromkeys(strays, NO_STAT))
        usual = at.request()
        assert usual.finished.wait(10)
        assert at.waiting_paths() == []
        trial = at.stage.request_trial(at.library, looks_outside=True)
        assert trial.finished.wait(10)
        assert trial.report is not None
        assert trial.report.missing == 5
        assert at.waiting_paths() == [], "a trial hints at nothing"
        thorough = at.stage.request(at.library, Source.SCAN, looks_outside=True)
        assert sorted(at.next_paths(5)) == strays
        assert thorough.finished.wait(10)
        assert at.asked_to_delete == [5], "the loss guard has a say"
        assert song not in strays


def test_a_scan_that_does_not_look_outside_does_not_serve_who_wants_that(tmp_path: Path) -> None:
    at = Room(tmp_path)
    usual = at.stage.request(at.library, Source.SCAN)
    thorough = at.stage.request(at.library, Source.SCAN, looks_outside=True)
    assert thorough is not usual
    assert at.stage.request(at.library, Source.RESCAN, looks_outside=True) is thorough
    trial = at.stage.request_trial(at.library)
    at.stage.abandon(at.library)
    assert [job.is_abandoned() for job in (usual, thorough, trial)] == [True, True, False]
    at.stage.abandon(at.library, with_trials=True)
    assert trial.is_abandoned()


def test_a_folder_that_turns_up_and_cannot_be_listed_is_told_with_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refusing(path: Any) -> Any:
        if os.fspath(path).rstrip(b"/").endswith(b"/closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with capture_logs() as logs, working(tmp_path) as at:
        (tmp_path / "new" / "closed").mkdir(parents=True)
        at.folder_hint("new")
        wait_for(lambda: logs, "the warning")
    shown = {key: logs[0][key] for key in ("event", "library", "folder", "others", "reason")}
    assert shown == {
        "event": "folder_not_listed",
        "library": "music",
        "folder": f"{tmp_path}/new/closed",
        "others": 0,
        "reason": "Permission denied",
    }
