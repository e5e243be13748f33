"""The fleet: what is wanted, step by step, with a keeper that does as the test says."""

from __future__ import annotations

from collections.abc import Sequence

from structlog.testing import capture_logs

from file_watcher.errors import CatalogUnavailable
from file_watcher.fleet import Fleet
from file_watcher.model import Library
from file_watcher.part_configs import kept_as
from file_watcher.roster import Roster, Watched
from file_watcher.settings import FileWatchSettings
from file_watcher.watching.keeper import Kept

MUSIC = Library(1, "music", "production", b"/data/music")
VIDEO = Library(2, "video", "production", b"/data/video")


def watched(library: Library, **rules: object) -> Watched:
    return Watched.by(library, FileWatchSettings(**rules))  # type: ignore[arg-type]


class Running:
    """A fleet over a roster, and what it did, in order."""

    def __init__(self, *libraries: Watched) -> None:
        self.done: list[tuple[str, object]] = []
        self.is_stubborn = self.is_deciding = self.is_database_away = False
        self.roster = Roster(libraries)
        self.fleet = Fleet(self.roster, self, kept_as, self._finish_round, self._own, self._goodbye)

    def put(self, kept: Kept) -> None:
        self.done.append(("put", kept.library.name))

    def drop(self, library: Library, timeout: float, *, for_good: bool = True) -> bool:
        self.done.append(("drop for good" if for_good else "drop", library.name))
        return not self.is_stubborn

    def _finish_round(self, seconds: float) -> bool:
        self.done.append(("wait", None))
        return not self.is_deciding

    def _own(self, owned: Sequence[Watched]) -> None:
        self.done.append(("own", [each.library.name for each in owned]))

    def _goodbye(self, library: Library) -> None:
        if self.is_database_away:
            raise CatalogUnavailable("away")
        self.done.append(("goodbye", library.name))

    def take(self) -> list[tuple[str, object]]:
        done, self.done = self.done, []
        return done


def test_what_is_as_before_is_left_alone() -> None:
    running = Running(watched(MUSIC))
    assert running.fleet.apply([watched(MUSIC)])
    assert running.take() == []


def test_a_new_library_is_ours_before_it_is_kept() -> None:
    running = Running(watched(MUSIC))
    assert running.fleet.apply([watched(MUSIC), watched(VIDEO)])
    assert running.take() == [("own", ["music", "video"]), ("put", "video")]
    assert running.roster.libraries() == [MUSIC, VIDEO]


def test_only_a_library_that_is_new_or_moved_is_taken_in_and_other_rules_are_one_line() -> None:
    running = Running(watched(MUSIC), watched(VIDEO))
    moved = Library(2, "video", "production", b"/elsewhere")
    with capture_logs() as logs:
        running.fleet.apply([watched(MUSIC, max_wait=9.0), watched(VIDEO)])
        running.fleet.apply([watched(MUSIC), watched(VIDEO, max_wait=9.0)])
        running.fleet.apply([watched(MUSIC), watched(moved, max_wait=9.0)])
    told = [(entry["event"], entry.get("libraries") or entry["library"]) for entry in logs]
    assert told == [
        ("rules_changed", ["music"]),
        ("rules_changed", ["music", "video"]),
        ("library_taken_in", "video"),
    ]


def test_a_library_that_leaves_is_shut_and_decided_before_its_rows_are_hidden() -> None:
    running = Running(watched(MUSIC), watched(VIDEO))
    assert running.fleet.apply([watched(MUSIC)], [VIDEO])
    assert running.take() == [
        ("drop for good", "video"),
        ("wait", None),
        ("own", ["music"]),
        ("goodbye", "video"),
    ]
    assert running.fleet.apply([watched(MUSIC)], [VIDEO])
    assert running.take() == [], "it is said once"


def test_a_library_that_others_watch_leaves_without_a_word() -> None:
    running = Running(watched(VIDEO))
    assert running.fleet.apply([])
    assert running.take() == [("drop", "video"), ("wait", None), ("own", [])]


def test_while_it_cannot_be_shut_or_something_is_being_decided_its_rows_stay() -> None:
    running = Running(watched(VIDEO))
    running.is_stubborn = True
    assert not running.fleet.apply([])
    assert running.take() == [("drop", "video")]
    running.is_stubborn, running.is_deciding = False, True
    assert not running.fleet.apply([])
    assert running.take() == [("drop", "video"), ("wait", None)]
    assert running.roster.libraries() == [VIDEO]
    running.is_deciding = False
    assert running.fleet.apply([])
    assert running.roster.libraries() == []


def test_other_rules_keep_the_filter_unless_it_is_another_one() -> None:
    running = Running(watched(MUSIC))
    path_filter = running.roster.filter_of(MUSIC)
    assert running.fleet.apply([watched(MUSIC, debounce_time="100ms")])
    assert running.roster.filter_of(MUSIC) is path_filter
    assert running.roster.rules_of(MUSIC).debounce_time == 0.1
    assert running.take() == [("own", ["music"]), ("put", "music")]
    assert running.fleet.apply([watched(MUSIC, debounce_time="100ms", patterns=["*.flac"])])
    assert running.roster.filter_of(MUSIC).wants_file(b"/data/music/a.flac")


def test_a_root_that_changed_has_a_filter_of_its_own() -> None:
    running = Running(watched(MUSIC))
    moved = Library(1, "music", "production", b"/mnt/music")
    assert running.fleet.apply([watched(moved)])
    assert running.roster.filter_of(moved).wants_file(b"/mnt/music/a.mp3")
    assert running.roster.of(b"/data/music/a.mp3") is None


def test_what_was_unwatched_while_nobody_ran_is_told_once_the_database_is_there() -> None:
    running = Running()
    running.is_database_away = True
    assert not running.fleet.apply([], [VIDEO])
    running.is_database_away = False
    assert running.fleet.apply([], [VIDEO])
    assert running.take() == [("goodbye", "video")]
    assert running.fleet.apply([watched(VIDEO)])
    assert running.fleet.apply([], [VIDEO])
    assert running.take()[-1] == ("goodbye", "video"), "and again after it was watched again"
