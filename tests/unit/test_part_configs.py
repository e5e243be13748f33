"""What the settings of each library mean for the parts, also while they change."""

from __future__ import annotations

from file_watcher.model import Library
from file_watcher.part_configs import (
    by_library,
    debounce_timing,
    goes_first,
    longest_wait,
    pacing,
    read_rate,
    stream_config,
)
from file_watcher.roster import Roster, Watched
from file_watcher.settings import FileWatchSettings

MUSIC = Library(1, "music", "production", b"/music")
STAGING = Library(2, "staging", "staging", b"/staging")


def watched(library: Library, **rules: object) -> Watched:
    return Watched.by(library, FileWatchSettings(**rules))  # type: ignore[arg-type]


def test_a_configuration_is_made_once_for_each_set_of_rules_of_each_library() -> None:
    roster = Roster([watched(MUSIC, debounce_time=1), watched(STAGING, debounce_time=5)])
    made: list[tuple[int, float]] = []

    def make(library: Library, rules: FileWatchSettings) -> float:
        made.append((library.id, rules.debounce_time))
        return rules.debounce_time

    quiet_of = by_library(roster.rules_of, make)
    assert [quiet_of(library) for library in (MUSIC, STAGING, MUSIC, STAGING)] == [1, 5, 1, 5]
    roster.put(watched(MUSIC, debounce_time=3))
    assert [quiet_of(library) for library in (MUSIC, STAGING, MUSIC)] == [3, 5, 3]
    assert made == [(1, 1), (2, 5), (1, 3)]


def test_a_library_that_left_keeps_its_last_rules() -> None:
    roster = Roster([watched(MUSIC, debounce_time=2, max_wait=9)])
    timing_of = by_library(roster.rules_of, debounce_timing)
    roster.drop(MUSIC.id)
    assert (timing_of(MUSIC).window, timing_of(MUSIC).longest) == (2, 9)


def test_streams_are_a_matter_of_single_libraries() -> None:
    roster = Roster([watched(MUSIC), watched(STAGING, idle_timeout=60)])
    stream_of = by_library(roster.rules_of, stream_config)
    assert stream_of(MUSIC) is None
    assert (found := stream_of(STAGING)) is not None
    assert found.idle == 60


def test_what_goes_first_is_a_matter_of_single_libraries_and_of_their_roots() -> None:
    roster = Roster([watched(MUSIC, priority_patterns=["*.flac"]), watched(STAGING)])
    first = goes_first(roster.rules_of)
    assert first(b"/music/a.flac", MUSIC)
    assert not first(b"/music/a.mp3", MUSIC)
    assert not first(b"/staging/a.flac", STAGING)
    moved = Library(1, "music", "production", b"/media/music")
    roster.put(Watched.by(moved, roster.rules_of(MUSIC)))
    assert first(b"/media/music/a.flac", moved)


def test_nobody_waits_longer_than_the_most_patient_library() -> None:
    assert longest_wait(Roster()) == 0.0
    assert longest_wait(Roster([watched(MUSIC, max_wait=10), watched(STAGING, max_wait=40)])) == 40


def test_limits_are_those_of_the_moment() -> None:
    roster = Roster([watched(MUSIC, rate_limit=7), watched(STAGING)])
    limits = pacing(roster)
    assert [limits.rate_of(number) for number in (1, 2, 3)] == [7, None, None]
    roster.put(watched(STAGING, rate_limit=2.5))
    assert limits.rate_of(2) == 2.5
    assert [limits.library_of(path) for path in (b"/staging/a", b"/other")] == [2, None]


def test_megabytes_are_millions_of_bytes() -> None:
    assert read_rate(FileWatchSettings(read_rate_limit=1.5)) == 1_500_000
    assert read_rate(FileWatchSettings()) is None
