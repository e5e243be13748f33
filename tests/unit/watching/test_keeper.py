"""The keeper's thread: real folders and watches, scans that end when the test says so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from file_watcher.errors import RetryableError
from file_watcher.lifecycle import Deadline
from file_watcher.model import UNKNOWN, FileStat, Hint, Library, Source
from file_watcher.watching import lookout as lookout_module
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.inotify_tree import WatchTree
from file_watcher.watching.keeper import KeeperConfig, Kept, LibraryKeeper
from file_watcher.watching.limits import WatchBudget
from file_watcher.watching.lookout import Lookout, LookoutConfig
from file_watcher.watching.memory import RememberedRoot
from file_watcher.watching.mounts import Mount, MountTable
from file_watcher.watching.observer import LibraryWatch
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.sight import Eyes
from file_watcher.watching.trouble import Trouble, TroubleKind
from tests.support.keeping import LibraryNotes, ScansByHand, report
from tests.support.waiting import wait_for


class House:
    """A keeper over the folders below `home`, one library each."""

    def __init__(self, home: Path, *names: str, **config: object) -> None:
        self.home = home
        self.libraries = [
            Library(number, name, "production", os.fsencode(home / name))
            for number, name in enumerate(names, start=1)
        ]
        self.hints: list[Hint] = []
        self.memory = LibraryNotes(files=1000)
        self.scans = ScansByHand()
        self.failures: list[BaseException] = []
        self.eyes = Eyes()
        self.config = {"observer": "native", "loss_guard": (0.5, 100), **config}
        max_watches = self.config.pop("max_watches", None)
        self.keeper = LibraryKeeper(
            [self.kept(each) for each in self.libraries],
            self.eyes,
            lambda hint, library: self.hints.append(hint),
            self.memory,
            lambda _, error: self.failures.append(error),
            max_watches,  # type: ignore[arg-type]
        )

    def kept(self, library: Library, *patterns: str, **config: object) -> Kept:
        """A library as it is kept, with other settings than the house's where they are given."""
        path_filter = PathFilter(library.root, patterns or ("*.mp3",), ())
        return Kept(library, path_filter, KeeperConfig(**{**self.config, **config}))  # type: ignore[arg-type]

    def start(self) -> House:
        self.keeper.start(cast("ScanStage", self.scans))
        return self

    def ready(self) -> House:
        """Start, and end every library's first scan."""
        self.start()
        wait_for(lambda: len(self.scans.jobs) == len(self.libraries), "the first scans")
        for job in self.scans.jobs:
            self.end_scan(job)
        wait_for(lambda: self.keeper.health().ok, "the libraries to be healthy")
        return self

    def end_scan(self, job: ScanJob | None = None, **counts: int) -> None:
        ended = self.scans.finish(job, **counts)
        assert ended.report is not None
        self.keeper.note_scanned(ended, ended.report)

    def watch(self) -> LibraryWatch:
        watch = self.keeper._posts[1].lookout._watch
        assert watch is not None
        return watch

    def close(self) -> None:
        self.keeper.close()
        assert self.keeper.join(Deadline(5))
        assert self.failures == []


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "music").mkdir()
    at = House(tmp_path, "music")
    yield at
    at.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[House]:
    for name in ("music", "speech"):
        (tmp_path / name).mkdir()
    at = House(tmp_path, "music", "speech")
    yield at
    at.close()


def test_scans_learn_when_every_library_has_asked_for_its_first_one(
    two: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), LibraryWatch.start

    def start(watch: LibraryWatch) -> None:
        assert watch._library.name == "music" or go_on.wait(10)
        real(watch)

    monkeypatch.setattr(LibraryWatch, "start", start)
    two.start()
    wait_for(lambda: two.scans.jobs, "the first library's scan")
    assert two.scans.is_gathering
    go_on.set()
    wait_for(lambda: not two.scans.is_gathering, "the second library's scan")
    assert [job.library for job in two.scans.jobs] == two.libraries


def test_each_folder_that_gets_its_watch_is_a_step_so_that_a_slow_disk_does_not_look_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (tmp_path / "music" / str(number)).mkdir(parents=True)
    at = House(tmp_path, "music")
    steps: list[int] = []
    watch = WatchTree._watch

    def watch_and_look(tree: WatchTree, folder: bytes) -> bool:
        is_watched = watch(tree, folder)
        steps.append(at.keeper.progress().steps)
        return is_watched

    monkeypatch.setattr(WatchTree, "_watch", watch_and_look)
    at.ready().close()
    assert len(steps) == 6
    assert steps == sorted(set(steps)), "each one further than the one before"


def test_it_is_healthy_once_every_library_is_watched_and_was_scanned(two: House) -> None:
    assert not two.keeper.health().ok
    assert not two.keeper.is_scanned()
    two.ready()
    assert two.keeper.is_scanned()
    assert dict(two.keeper.health().facts) == {"music": "watched", "speech": "watched"}
    assert two.keeper.active() == two.libraries
    assert dict(two.keeper.watches()) == {"active": 2, "polled": 0, "added": 2, "removed": 0}
    wait_for(lambda: two.memory.kinds() == ["library.scanned"] * 2, "both notices")


def test_hints_reach_whoever_observes_and_draining_waits_for_them(kept: House) -> None:
    kept.ready()
    (kept.home / "music/a.mp3").write_bytes(b"la")
    assert kept.keeper.drain(10) == []
    assert {hint.path for hint in kept.hints} == {os.fsencode(kept.home / "music/a.mp3")}


def test_draining_names_the_libraries_of_which_only_a_scan_can_tell(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    at = House(tmp_path, "music", "missing", observer="polling").start()
    wait_for(at.keeper.active, "the library to be polled")
    assert at.keeper.drain(10) == at.libraries[:1]
    assert at.keeper.watches()["polled"] == 1
    at.close()


def test_draining_does_not_trust_a_watch_that_misses_a_folder(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.ready()
    monkeypatch.setattr(LibraryWatch, "unwatched", lambda self: [(b"/secret", 13)])
    assert kept.keeper.drain(10) == kept.libraries
    assert "polled every 30 s: folders that cannot be watched: 1. No permission to read /secret" in str(
        kept.keeper.health().facts
    )


def test_a_missing_root_does_not_keep_the_others_from_being_watched(two: House) -> None:
    (two.home / "speech").rmdir()
    two.start()
    wait_for(lambda: two.memory.kinds() == ["library.suspended"], "the notice")
    assert two.keeper.active() == two.libraries[:1]
    two.end_scan()
    wait_for(two.keeper.is_scanned, "nobody to wait for the missing one")
    assert "speech is suspended" in two.keeper.health().detail

    (two.home / "speech").mkdir()
    wait_for(lambda: len(two.keeper.active()) == 2, "the library to begin")
    assert two.memory.kinds()[:1] + two.memory.kinds()[-1:] == ["library.suspended", "library.resumed"]


def test_lost_hints_bring_a_new_watch_at_once_and_a_scan(kept: House) -> None:
    kept.ready()
    old = kept.watch()
    old._trouble(Trouble(TroubleKind.OVERFLOW, "the kernel's queue was full"))
    assert kept.keeper.drain(10) == kept.libraries
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan", timeout=5)
    assert kept.watch() is not old
    assert not kept.keeper.is_scanned()
    kept.end_scan()
    wait_for(kept.keeper.is_scanned, "it to be known")
    assert kept.keeper.drain(10) == []
    watches = kept.keeper.watches()
    assert (watches["added"], watches["removed"]) == (2, 1)


def test_a_watch_whose_thread_died_is_replaced(kept: House) -> None:
    kept.ready()
    reader = kept.watch()._engine._reader  # type: ignore[union-attr]
    reader.stop()
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan", timeout=5)
    (kept.home / "music/a.mp3").write_bytes(b"la")
    wait_for(lambda: kept.keeper.drain(1) == [], "the new watch")
    assert os.fsencode(kept.home / "music/a.mp3") in {hint.path for hint in kept.hints}


def test_a_database_that_is_away_is_asked_about_once_a_second(kept: House) -> None:
    asked: list[float] = []
    recall = kept.memory.recall

    def counted(library: Library) -> RememberedRoot:
        asked.append(time.monotonic())
        return recall(library)

    kept.memory.recall = counted  # type: ignore[method-assign]
    kept.memory.is_away = True
    kept.start()
    wait_for(lambda: len(asked) == 3, "three questions")
    assert asked[2] - asked[0] > 1.5
    kept.memory.is_away = False
    wait_for(kept.keeper.active, "the library to begin")


def test_notices_that_meet_a_lost_database_are_kept_in_order(kept: House) -> None:
    kept.ready()
    wait_for(lambda: kept.memory.kinds() == ["library.scanned"], "the first notice")
    kept.memory.is_away = True
    (kept.home / "music").rename(kept.home / "away")
    wait_for(lambda: not kept.keeper.active(), "the library to be suspended")
    kept.memory.is_away = False
    (kept.home / "away").rename(kept.home / "music")
    wait_for(
        lambda: kept.memory.kinds() == ["library.scanned", "library.suspended", "library.resumed"],
        "the notices",
    )


def test_a_library_is_known_once_the_notice_of_its_first_scan_is_recorded(kept: House) -> None:
    assert not kept.keeper.is_begun(1, scanned=False)
    kept.start()
    wait_for(lambda: kept.keeper.is_begun(1, scanned=False), "the library to be watched")
    wait_for(lambda: kept.scans.jobs, "its first scan")
    kept.memory.is_away = True
    kept.end_scan()
    wait_for(lambda: kept.keeper.health().ok, "the scan to be noted")
    assert not kept.keeper.is_begun(1, scanned=True)
    kept.memory.is_away = False
    wait_for(lambda: kept.keeper.is_begun(1, scanned=True), "the notice to be recorded")
    assert kept.memory.kinds() == ["library.scanned"]
    assert not kept.keeper.is_begun(2, scanned=False)


def test_orders_that_meet_a_lost_database_do_not_spin(kept: House) -> None:
    kept.ready()
    attempts: list[float] = []
    announce = kept.memory.announce

    def counted(kind: str, library: Library, fields: object) -> None:
        attempts.append(time.monotonic())
        announce(kind, library, fields)  # type: ignore[arg-type]

    kept.memory.announce = counted  # type: ignore[method-assign]
    kept.memory.is_away = True
    (kept.home / "music").rename(kept.home / "away")
    kept.memory.remember = lambda *_, **__: None  # type: ignore[method-assign]
    wait_for(lambda: len(attempts) == 3, "three attempts")
    assert attempts[2] - attempts[0] > 1.5


# the loss guard and approval


def test_a_loss_suspends_and_an_approval_takes_it(kept: House) -> None:
    kept.ready()
    job = kept.keeper.rescan()[0]
    assert not kept.keeper.may_delete(job, 501)
    wait_for(lambda: not kept.keeper.active(), "the library to be suspended")
    assert "501 of 1000 files are missing" in kept.keeper.health().detail
    assert "501 of 1000 files are missing" in kept.keeper.suspended()["music"]
    assert kept.keeper.approve("music") is None
    wait_for(kept.keeper.active, "the library to begin")
    assert not kept.keeper.suspended()
    assert kept.keeper.may_delete(kept.scans.jobs[-1], 501)
    kept.end_scan(missing=501)
    wait_for(lambda: not kept.keeper.may_delete(kept.scans.jobs[-1], 501), "the approval to end")


@pytest.mark.parametrize("missing", [100, 500])
def test_a_smaller_loss_passes(kept: House, missing: int) -> None:
    assert kept.keeper.may_delete(kept.scans.request(kept.libraries[0], Source.SCAN), missing)


def test_without_a_guard_everything_passes(tmp_path: Path) -> None:
    at = House(tmp_path, "music", loss_guard=None)
    assert at.keeper.may_delete(at.scans.request(at.libraries[0], Source.SCAN), 10**6)


def test_a_refusal_of_an_abandoned_scan_suspends_nothing(kept: House) -> None:
    kept.ready()
    job = kept.keeper.rescan()[0]
    job.abandon()
    assert not kept.keeper.may_delete(job, 501)
    kept.end_scan()
    kept.keeper.rescan()
    assert kept.keeper.active() == kept.libraries


def test_an_approval_that_makes_no_sense_is_refused_in_words(kept: House) -> None:
    kept.ready()
    assert kept.keeper.approve("speech") == "no watched library is named speech"
    assert "not suspended" in (kept.keeper.approve("music") or "")


# rescans


def test_a_rescan_is_of_all_active_libraries_or_of_those_named(two: House) -> None:
    assert two.keeper.rescan() == [], "before the start there is nothing to scan"
    two.ready()
    assert [job.library for job in two.keeper.rescan()] == two.libraries
    assert [job.library for job in two.keeper.rescan(Source.SCAN, two.libraries[1:])] == two.libraries[1:]
    (two.home / "speech").rmdir()
    wait_for(lambda: len(two.keeper.active()) == 1, "the library to be suspended")
    assert two.keeper.rescan(Source.SCAN, two.libraries[1:]) == []


def test_a_scan_that_ends_releases_those_who_wait(kept: House) -> None:
    kept.start()
    wait_for(lambda: kept.scans.jobs, "the scan")
    released = threading.Event()

    def wait() -> None:
        kept.keeper.wait_until_scanned(60)
        released.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: kept.keeper._scanned._waiters, "somebody to wait")  # type: ignore[attr-defined]
    kept.end_scan()
    assert released.wait(5)
    waiting.join()


# the end


def test_closing_twice_before_or_after_the_start_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    at = House(tmp_path, "music")
    at.close()
    at = House(tmp_path, "music").ready()
    at.close()
    at.close()


def test_a_watch_that_is_just_being_put_up_goes_with_the_keeper(
    kept: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    walking, go_on = threading.Event(), threading.Event()
    start = LibraryWatch.start

    def slow_start(self: LibraryWatch) -> None:
        walking.set()
        assert go_on.wait(10)
        start(self)

    monkeypatch.setattr(LibraryWatch, "start", slow_start)
    kept.start()
    assert walking.wait(10)
    kept.keeper.close()
    go_on.set()
    assert kept.keeper.join(Deadline(5))


def test_a_surprise_ends_the_keeper_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    at = House(tmp_path, "music")
    at.memory.recall = None  # type: ignore[assignment,method-assign]
    at.start()
    wait_for(lambda: at.failures, "the report")
    assert isinstance(at.failures.pop(), TypeError)
    at.close()


# the lookout


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(1, "music", "production", os.fsencode(tmp_path))


def lookout_of(library: Library, observer: str) -> Lookout:
    path_filter = PathFilter(library.root, ("*.mp3",), (), recursive=True)
    return Lookout(LookoutConfig(observer), library, path_filter, lambda hint, _: None, lambda: None)


@pytest.fixture
def refusing_kernel(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def refuse(self: LibraryWatch) -> None:
        raise RetryableError("No inotify watch is free")

    monkeypatch.setattr(LibraryWatch, "start", refuse)
    return monkeypatch


def test_where_the_kernel_refuses_a_library_is_polled_and_may_be_watched_later(
    library: Library, refusing_kernel: pytest.MonkeyPatch
) -> None:
    lookout = lookout_of(library, "auto")
    lookout.stand()
    assert (lookout.polled, lookout.can_try_again) == ("No inotify watch is free", True)
    assert lookout.is_blind()
    assert lookout.why_renew() is None
    refusing_kernel.undo()
    lookout.stand()
    assert (lookout.polled, lookout.can_try_again, lookout.is_blind()) == (None, False, False)
    lookout.close()
    assert lookout.join(Deadline(5))


@pytest.mark.usefixtures("refusing_kernel")
def test_where_only_the_kernel_may_watch_its_refusal_is_told(library: Library) -> None:
    lookout = lookout_of(library, "native")
    with pytest.raises(RetryableError, match="No inotify watch"):
        lookout.stand()
    assert lookout.polled is None
    assert not lookout.drain(1)


def test_a_filesystem_that_does_not_tell_of_all_changes_is_polled(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout_module, "needs_polling", lambda fs_type: True)
    lookout = lookout_of(library, "auto")
    lookout.stand()
    assert "does not tell of all changes" in (lookout.polled or "")
    assert not lookout.can_try_again
    assert lookout.watch_count() == 0


def test_the_old_watch_goes_when_the_new_one_stands(library: Library) -> None:
    lookout = lookout_of(library, "native")
    lookout.stand()
    first = lookout._watch
    lookout.stand()
    assert first is not None
    wait_for(lambda: first.join(Deadline(0)), "the old watch to end")
    assert first.alive() is not None
    assert lookout.why_renew() is None
    lookout.leave()
    lookout.close()
    assert lookout.join(Deadline(5))
    assert (lookout.added, lookout.removed) == (2, 2)


def test_a_new_watch_that_finds_no_room_gets_the_room_of_the_old_one(library: Library) -> None:
    for name in (b"a", b"b", b"c"):
        os.mkdir(library.root + b"/" + name)
    path_filter = PathFilter(library.root, ("*.mp3",), (), recursive=True)
    for limit in (4, 6):
        lookout = Lookout(
            LookoutConfig("native"),
            library,
            path_filter,
            lambda hint, _: None,
            lambda: None,
            WatchBudget(limit),
        )
        try:
            lookout.stand()
            lookout.stand()
            assert (lookout.watch_count(), lookout.unwatched(), lookout.polled) == (4, [], None)
        finally:
            lookout.leave()
            lookout.close()
            assert lookout.join(Deadline(5))


def test_a_network_disk_below_the_root_is_polled_and_the_rest_is_watched(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    nfs = Mount(2, 1, library.root + b"/net", "nfs4", b"server:/export")
    table = MountTable([Mount(1, 0, b"/", "ext4", b""), nfs])
    monkeypatch.setattr(MountTable, "read", lambda: table)
    lookout = lookout_of(library, "auto")
    lookout.stand()
    try:
        assert (lookout.polled, lookout.watch_count(), lookout.polled_count()) == (None, 1, 1)
        assert lookout.why_blind() == f"nfs4 at {os.fsdecode(nfs.mount_point)} does not tell of all changes"
    finally:
        lookout.leave()
        lookout.close()
        assert lookout.join(Deadline(5))


def test_where_the_system_has_no_inotify_a_library_is_watched_and_polled(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.watching.observer.native_supported", lambda: False)
    lookout = lookout_of(library, "auto")
    lookout.stand()
    try:
        assert (lookout.polled, lookout.watch_count(), lookout.why_renew()) == (None, 1, None)
        assert lookout.why_blind() == "the watches of this system may miss changes"
        assert not lookout.drain(0.1)
    finally:
        lookout.leave()
        lookout.close()
        assert lookout.join(Deadline(5))


def test_a_library_that_is_put_is_watched_and_scanned_beside_the_others(kept: House) -> None:
    kept.ready()
    (kept.home / "late").mkdir()
    late = Library(7, "late", "production", os.fsencode(kept.home / "late"))
    kept.keeper.put(kept.kept(late))
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan of the new library")
    assert kept.scans.is_gathering is False
    kept.end_scan()
    wait_for(lambda: late in kept.keeper.active() and kept.keeper.health().ok, "the new library")
    (kept.home / "late" / "a.mp3").write_bytes(b"a")
    wait_for(lambda: any(hint.path.endswith(b"late/a.mp3") for hint in kept.hints), "its hint")


def test_a_library_that_is_dropped_is_shut_and_says_goodbye_and_its_scans_are_given_up(two: House) -> None:
    two.ready()
    first, second = two.libraries
    (two.home / "music" / "a.mp3").write_bytes(b"a")
    job = two.keeper.rescan(libraries=[first])[0]
    assert two.keeper.drop(first, 10.0)
    assert job.is_abandoned()
    assert two.keeper.active() == [second]
    assert two.eyes.look(os.fsencode(two.home / "music" / "a.mp3"), first.id) is UNKNOWN
    wait_for(lambda: "library.unwatched" in two.memory.kinds(), "the goodbye")
    assert two.keeper.drop(first, 10.0), "once more does no harm"
    two.keeper.note_scanned(job, report())
    assert not two.keeper.may_delete(job, 1), "nothing of it is believed gone"
    assert two.memory.kinds().count("library.unwatched") == 1


def test_a_library_that_goes_to_somebody_else_is_dropped_without_a_word(two: House) -> None:
    two.ready()
    assert two.keeper.drop(two.libraries[0], 10.0, for_good=False)
    assert "library.unwatched" not in two.memory.kinds()


def test_other_patterns_bring_a_new_watch_and_a_scan_and_other_intervals_bring_neither(kept: House) -> None:
    kept.ready()
    library, watch, post = kept.libraries[0], kept.watch(), kept.keeper._posts[1]
    same = kept.keeper._kept[1]
    kept.keeper.put(Kept(library, same.path_filter, KeeperConfig(**{**kept.config, "rescan_interval": 7.0})))  # type: ignore[arg-type]
    wait_for(lambda: post._config.rescan_interval == 7.0, "the other interval")
    assert kept.watch() is watch
    assert len(kept.scans.jobs) == 1
    kept.keeper.put(kept.kept(library, "*.flac"))
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan by the other patterns")
    assert kept.watch() is not watch
    (kept.home / "music" / "a.flac").write_bytes(b"a")
    assert isinstance(kept.eyes.look(os.fsencode(kept.home / "music" / "a.flac"), 1), FileStat)
    kept.end_scan()
    wait_for(lambda: kept.keeper.health().ok, "the library to be healthy again")
    wait_for(lambda: kept.memory.kinds() == ["library.scanned"] * 2, "both scans to be told")


def test_hashes_that_are_wanted_or_not_from_now_on_bring_a_scan(kept: House) -> None:
    kept.ready()
    library, same = kept.libraries[0], kept.keeper._kept[1]
    kept.keeper.put(Kept(library, same.path_filter, KeeperConfig(**{**kept.config, "hashes": False})))  # type: ignore[arg-type]
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan")
    kept.end_scan()
    wait_for(lambda: kept.keeper.health().ok, "the library to be healthy again")


def test_a_root_that_moved_is_taken_as_a_new_one_and_what_lay_elsewhere_is_looked_for(kept: House) -> None:
    kept.ready()
    (kept.home / "elsewhere").mkdir()
    moved = Library(1, "music", "production", os.fsencode(kept.home / "elsewhere"))
    kept.memory.roots[1] = RememberedRoot(was_elsewhere=True)
    kept.keeper.put(kept.kept(moved))
    wait_for(lambda: len(kept.scans.jobs) == 2, "the scan of the other folder")
    assert kept.scans.jobs[-1].looks_outside
    kept.end_scan()
    wait_for(lambda: kept.keeper.health().ok, "the library to be healthy")
    assert not kept.keeper.rescan()[0].looks_outside, "that is over once a scan has seen to it"
