"""Turns decided events into changes of windows: which rules an event concerns, and at which places. Pure.

A file that is told while it still grows asks for nothing; what tells its hashes at last counts as its creation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from file_watcher.jobs.job import WindowChange
from file_watcher.jobs.rules import MOVED_IN, MOVED_OUT, JobRule, Per
from file_watcher.model import EventType, FileEvent, Library
from file_watcher.patterns import text_of

RulesOf = Callable[[int], Sequence[JobRule]]
"""The rules of the library of that number; none where it is not watched."""
LibraryOf = Callable[[bytes], Library | None]
"""The watched library that a path lies in."""

TRIGGERS: Final = {
    "created": "new_file_added",
    MOVED_IN: "new_file_added",
    "modified": "file_changed",
    "deleted": "file_removed",
    MOVED_OUT: "file_removed",
    "moved": "file_moved",
    "renamed": "file_moved",
    "idle": "file_idle",
}
"""What a job says it was triggered by, for each event that a rule may wait for."""
_MOST_TELLING: Final = ("created", MOVED_IN, MOVED_OUT)
"""Where an event is several of those that the rule waits for."""
_SECOND: Final = 1_000_000_000


def changes_of(events: Sequence[FileEvent], rules_of: RulesOf, library_of: LibraryOf) -> list[WindowChange]:
    """What the events add to the windows of all rules, in the order of the events."""
    return [change for event in events for change in _changes(event, rules_of, library_of)]


def _changes(event: FileEvent, rules_of: RulesOf, library_of: LibraryOf) -> Iterator[WindowChange]:
    if event.growing:
        return
    for rule in rules_of(event.library.id):
        yield from _change(event, rule, event.library, event.path, _words_there(event, rule))
    if event.old_path is None:
        return
    left = event.library if event.library.holds(event.old_path) else library_of(event.old_path)
    if left is not None:
        for rule in rules_of(left.id):
            if left != event.library or _has_left(event.old_path, event, rule):
                yield from _change(event, rule, left, event.old_path, {MOVED_OUT})


def _has_left(old_path: bytes, event: FileEvent, rule: JobRule) -> bool:
    """Whether the move within the library leads over the edge of what the rule's jobs are about."""
    return _place(rule, event.library, old_path) != _place(rule, event.library, event.path)


def _words_there(event: FileEvent, rule: JobRule) -> set[str]:
    """What the event is for the place that the file is at now."""
    words = {str(event.event_type)}
    old_path = event.old_path
    if old_path is not None and (not event.library.holds(old_path) or _has_left(old_path, event, rule)):
        words.add(MOVED_IN)
    is_first_content = event.previous is not None and event.previous.fingerprint is None
    if event.event_type is EventType.MODIFIED and is_first_content:
        words.add("created")
    return words


def _change(
    event: FileEvent, rule: JobRule, library: Library, path: bytes, words: set[str]
) -> Iterator[WindowChange]:
    """The change, where the rule waits for one of the words and its patterns mean the path."""
    wanted = words & rule.on
    if not wanted or not _is_meant(rule, library, path):
        return
    word = next((each for each in _MOST_TELLING if each in wanted), None) or min(wanted)
    place = _place(rule, library, path)
    yield WindowChange(
        event.file_id,
        rule.key(library.id, place),
        library.id,
        rule.type,
        rule.queue,
        place,
        TRIGGERS[word],
        str(event.event_type),
        event.timestamp_ns,
        event.timestamp_ns + round(rule.window_seconds * _SECOND),
    )


def _place(rule: JobRule, library: Library, path: bytes) -> bytes:
    """What the job is about."""
    if rule.per is Per.LIBRARY:
        return library.root
    return path if rule.per is Per.FILE else path.rpartition(b"/")[0] or b"/"


def _is_meant(rule: JobRule, library: Library, path: bytes) -> bool:
    if not rule.patterns:
        return True
    below = path[len(library.root.rstrip(b"/")) + 1 :]
    return rule.wants(text_of(below.rpartition(b"/")[2]), text_of(below))
