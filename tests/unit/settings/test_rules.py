"""A library's own settings: which there are, what they hold over, and what stays where one is spoilt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from file_watcher.settings import FileWatchSettings, load
from file_watcher.settings.rules import (
    AT_ONCE,
    PER_LIBRARY,
    LibraryRules,
    problems_of_rule,
    rules_of_library,
)
from file_watcher.settings.sources import Layer, from_database

NONE: Mapping[str, str] = {}


def resolved(
    rules: Mapping[str, str],
    good: Mapping[str, str] = NONE,
    rows: Mapping[str, str] = NONE,
    options: Mapping[str, object] = NONE,
    environ: Mapping[str, str] = NONE,
) -> LibraryRules:
    layers: list[Layer] = load(options, environ).layers.with_rows(from_database(rows))
    return rules_of_library("m", rules, layers, good, root=Path("/srv/m"))


def test_every_setting_that_a_library_may_have_is_one() -> None:
    assert FileWatchSettings.model_fields.keys() >= PER_LIBRARY
    assert FileWatchSettings.model_fields.keys() >= AT_ONCE


def test_a_rule_holds_over_option_environment_and_database() -> None:
    watch = resolved(
        {"debounce_time": "7s"},
        rows={"file_watch.debounce_time": "2s", "file_watch.max_wait": "9s"},
        options={"debounce_time": "3s"},
        environ={"FILE_WATCH_DEBOUNCE_TIME": "4s"},
    ).watch
    assert (watch.debounce_time, watch.max_wait) == (7.0, 9.0)


def test_without_a_rule_the_layers_of_the_process_hold_in_their_order() -> None:
    rows = {"file_watch.debounce_time": "2s", "file_watch.max_wait": "9s"}
    watch = resolved(NONE, rows=rows, environ={"FILE_WATCH_DEBOUNCE_TIME": "4s"}).watch
    assert (watch.debounce_time, watch.max_wait) == (4.0, 9.0)


def test_what_holds_for_the_process_is_no_library_s_business() -> None:
    assert resolved(NONE, rows={"file_watch.scan_workers": "9"}).watch == resolved(NONE).watch


def test_a_preset_of_its_own_comes_in_the_place_of_the_process_s() -> None:
    environ = {"FILE_WATCH_PRESET": "code", "FILE_WATCH_MAX_WAIT": "9s"}
    assert resolved(NONE, environ=environ).watch.debounce_time == 0.1
    film = resolved({"preset": "video"}, environ=environ).watch
    assert (film.debounce_time, film.max_wait) == (5.0, 60.0)
    assert "*.mkv" in film.patterns
    song = resolved({"preset": "music"}, environ=environ).watch
    assert (song.debounce_time, song.max_wait) == (1.0, 9.0)
    assert "*.mp3" in song.patterns


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("debounce_time", "soon", "write a duration such as 500ms"),
        ("observer", "maybe", "auto, native or polling"),
        (
            "scan_workers",
            "3",
            "holds for the whole process, not for one library; set file_watch.scan_workers",
        ),
        ("debounce", "3s", "did you mean debounce_time?"),
        ("colour\n", "red", "'colour\\n' is no known rule; remove it"),
        ("instance", "my host", "is no instance's name; write the INSTANCE_ID"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_what_could(key: str, value: str, words: str) -> None:
    (problem,) = problems_of_rule(key, value)
    assert words in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [("debounce_time", "2s"), ("instance", "host-1"), ("jobs", "[]"), ("loss_guard", "off")],
)
def test_a_rule_that_can_be_used_has_no_problem(key: str, value: str) -> None:
    assert problems_of_rule(key, value) == []


def test_rules_for_jobs_are_judged_by_whoever_makes_jobs() -> None:
    assert problems_of_rule("jobs", "x", lambda text: [f"{text} is no JSON"]) == ["jobs: x is no JSON"]


def test_a_spoilt_rule_leaves_the_last_good_one_and_at_the_start_the_next_layer_s() -> None:
    spoilt = {"max_wait": "long", "debounce_time": "2s"}
    fresh = resolved(spoilt)
    assert (fresh.watch.max_wait, fresh.watch.debounce_time) == (30.0, 2.0)
    assert "the next layer's value holds" in fresh.problems[0]
    later = resolved(spoilt, good={"max_wait": "9s"})
    assert later.watch.max_wait == 9.0
    assert "'9s' stays, as before" in later.problems[0]
    assert later.good == {"max_wait": "9s", "debounce_time": "2s"}


def test_a_rule_that_was_taken_away_is_not_remembered() -> None:
    gone = resolved(NONE, good={"max_wait": "9s"})
    assert (gone.watch.max_wait, gone.good, gone.problems) == (30.0, {}, ())


def test_times_that_do_not_go_together_leave_those_of_before() -> None:
    apart = resolved({"idle_timeout": "1s", "debounce_time": "5s"}, good={"idle_timeout": "9s"})
    assert (apart.watch.idle_timeout, apart.watch.debounce_time) == (9.0, 1.0)
    assert "shorter" in apart.problems[0]
    never = resolved({"idle_timeout": "1s", "preset": "video"})
    assert never.watch.idle_timeout is None
    assert len(never.problems) == 1
    still_apart = resolved(
        {"idle_timeout": "1s", "debounce_time": "5s"}, good={"idle_timeout": "2s", "debounce_time": "3s"}
    )
    assert (still_apart.watch.idle_timeout, still_apart.watch.debounce_time) == (None, 1.0)


def test_a_pattern_that_begins_with_the_library_s_folder_is_refused() -> None:
    wrong = resolved({"patterns": "/srv/m/*.txt"})
    assert "*.mp3" in wrong.watch.patterns
    assert "write '/*.txt'" in wrong.problems[0]


def test_instance_and_jobs_are_handed_on_as_they_are() -> None:
    given = resolved({"instance": "host-1", "jobs": "[]"})
    assert (given.instance, given.jobs) == ("host-1", "[]")
