"""Which events count in which windows, and what a job says triggered it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from file_watcher.jobs.job import WindowChange
from file_watcher.jobs.rules import JobRule, read_rules
from file_watcher.jobs.windows import changes_of
from file_watcher.model import EventType, FileEvent, Library, Previous
from tests.support.messages import LIBRARY, NOW_NS, PRINT, event

STAGING = Library(2, "inbox", "staging", b"/inbox")


def rules(*given: dict[str, Any]) -> tuple[JobRule, ...]:
    return read_rules(json.dumps([{"type": "media:scan", **each} for each in given]))


def changes(
    events: Sequence[FileEvent], music: Sequence[JobRule] = (), inbox: Sequence[JobRule] = ()
) -> list[WindowChange]:
    by_library = {LIBRARY.id: music, STAGING.id: inbox}
    libraries = (LIBRARY, STAGING)
    return changes_of(
        events,
        lambda number: by_library[number],
        lambda path: next((each for each in libraries if each.holds(path)), None),
    )


def moved(old_path: bytes, path: bytes = b"/m/a.mp3", kind: EventType = EventType.MOVED) -> FileEvent:
    return event(kind, path=path, old_path=old_path, previous=Previous(old_path, PRINT))


def brief(found: list[WindowChange]) -> list[tuple[bytes, str, str]]:
    return [(change.path, change.trigger, change.event) for change in found]


def test_a_new_file_opens_a_window_that_ends_after_the_rule_s_time() -> None:
    (rule,) = rules({"window": "5s"})
    created = event(path=b"/m/x/a.mp3")
    (change,) = changes([created], [rule])
    assert change == WindowChange(
        file_id=created.file_id,
        key=rule.key(1, b"/m"),
        library_id=1,
        type="media:scan",
        queue="maintenance",
        path=b"/m",
        trigger="new_file_added",
        event="created",
        at_ns=NOW_NS,
        due_ns=NOW_NS + 5_000_000_000,
    )


def test_a_library_without_rules_has_no_windows() -> None:
    assert changes([event()]) == []


@pytest.mark.parametrize(("per", "place"), [("library", b"/m"), ("folder", b"/m/x"), ("file", b"/m/x/a.mp3")])
def test_a_job_is_about_what_the_rule_says(per: str, place: bytes) -> None:
    assert brief(changes([event(path=b"/m/x/a.mp3")], rules({"per": per}))) == [
        (place, "new_file_added", "created")
    ]


def test_a_file_directly_below_the_root_of_all_lies_in_that_root() -> None:
    everything = Library(1, "all", "production", b"/")
    found = changes([event(path=b"/a.mp3", library=everything)], rules({"per": "folder"}))
    assert brief(found) == [(b"/", "new_file_added", "created")]


@pytest.mark.parametrize(
    ("told", "on", "trigger"),
    [
        (event(EventType.MODIFIED), "modified", "file_changed"),
        (event(EventType.DELETED), "deleted", "file_removed"),
        (event(EventType.IDLE), "idle", "file_idle"),
        (moved(b"/m/old.mp3"), "moved", "file_moved"),
        (moved(b"/m/old.mp3", kind=EventType.RENAMED), "renamed", "file_moved"),
    ],
)
def test_a_job_says_what_triggered_it(told: FileEvent, on: str, trigger: str) -> None:
    assert [change.trigger for change in changes([told], rules({"on": [on]}))] == [trigger]
    assert changes([told], rules({"on": ["created"]})) == []


def test_a_move_within_the_library_is_no_arrival_for_the_library() -> None:
    assert changes([moved(b"/m/x/old.mp3")], rules({"on": ["moved_in", "moved_out"]})) == []


def test_a_move_between_folders_is_an_arrival_in_one_and_a_departure_from_the_other() -> None:
    found = changes([moved(b"/m/x/old.mp3", b"/m/y/a.mp3")], rules({"type": "directory:changed"}))
    assert brief(found) == [(b"/m/y", "new_file_added", "moved"), (b"/m/x", "file_removed", "moved")]


def test_the_built_in_types_tell_a_move_as_a_file_that_came_and_one_that_went() -> None:
    both = rules({"type": "file:created"}, {"type": "file:removed"})
    renamed = moved(b"/m/old.mp3", kind=EventType.RENAMED)
    found = {change.type: change.path for change in changes([renamed], both)}
    assert found == {"file:created": b"/m/a.mp3", "file:removed": b"/m/old.mp3"}


def test_a_file_that_changes_its_library_arrives_in_one_and_leaves_the_other() -> None:
    arrived = changes([moved(b"/inbox/new.mp3")], music=rules({"on": ["moved_in"]}))
    assert brief(arrived) == [(b"/m", "new_file_added", "moved")]
    left = changes([moved(b"/inbox/new.mp3")], inbox=rules({"on": ["moved_out"]}))
    assert [(change.library_id, change.path, change.trigger) for change in left] == [
        (2, b"/inbox", "file_removed")
    ]


def test_a_file_that_came_from_a_library_that_is_not_watched_arrives_all_the_same() -> None:
    found = changes([moved(b"/elsewhere/new.mp3")], rules({"on": ["moved_in", "moved_out"]}))
    assert brief(found) == [(b"/m", "new_file_added", "moved")]


def test_a_growing_file_asks_for_nothing_until_its_hashes_are_told() -> None:
    growing = event(growing=True, fingerprint=None)
    finished = event(EventType.MODIFIED, previous=Previous(b"/m/a.mp3", None))
    assert brief(changes([growing, finished], rules({}))) == [(b"/m", "new_file_added", "modified")]
    assert changes([event(EventType.MODIFIED)], rules({})) == []


def test_patterns_are_held_against_names_and_paths_below_the_root_in_any_case() -> None:
    some = rules({"patterns": ["*.WAV", "/fresh/*"]})
    files = [event(path=path) for path in (b"/m/a.wav", b"/m/Fresh/a.mp3", b"/m/x/fresh/a.mp3", b"/m/a.mp3")]
    assert [change.file_id for change in changes(files, some)] == [files[0].file_id, files[1].file_id]


def test_each_rule_has_its_say() -> None:
    found = changes([event()], rules({"type": "a"}, {"type": "b", "per": "file"}, {"on": ["deleted"]}))
    assert [(change.type, change.path) for change in found] == [("a", b"/m"), ("b", b"/m/a.mp3")]
