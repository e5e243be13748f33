"""What is told after the content: that a file is idle, and of its mode and owner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from file_watcher.model import EventType, FileEvent, FileRecord, FileStat, Observation, Source
from file_watcher.processing.content import ATTRIBUTES, BOTH, CONTENT, ContentTeller
from file_watcher.processing.decision import Decision
from file_watcher.processing.view import CatalogView
from tests.support.pipeline import StepClock
from tests.support.world import LIBRARY, World, fingerprint_of

PATH = b"/lib/a.mp4"
STAT = FileStat(3, 1_000, 2_000, 7, 100)
LATER = STAT._replace(ctime_ns=3_000)
GROWN = STAT._replace(size=9, mtime_ns=5_000, ctime_ns=5_000)
ONE, TWO = fingerprint_of(b"one"), fingerprint_of(b"two")
MINE, YOURS = "644 0 0", "600 0 0"


def row(**fields: Any) -> FileRecord:
    known: dict[str, Any] = {"stat": STAT, "fingerprint": ONE, "version": 1, "row_id": 7}
    return FileRecord(PATH, LIBRARY.id, "file", **(known | fields))


def seen(stat: FileStat = STAT, **fields: Any) -> Observation:
    return Observation(PATH, LIBRARY, stat, **({"read_at_ns": 10_000} | fields))


def tell(known: FileRecord | None, observation: Observation) -> tuple[list[FileEvent], FileRecord, Decision]:
    """The events of one round about one file, and its row afterwards."""
    view, out = CatalogView([known] if known else []), Decision()
    assert isinstance(observation.sight, FileStat)
    ContentTeller(view, StepClock(World()), lambda _: 0, out).tell(observation, observation.sight)
    left = view.at(PATH)
    assert left is not None
    return out.events, left, out


def kinds(events: list[FileEvent]) -> list[tuple[str, tuple[str, ...] | None]]:
    return [(event.event_type.value, event.changed) for event in events]


# -- idle ----------------------------------------------------------------------------------------------


def test_what_is_idle_when_it_is_found_is_told_as_both_in_one_commit() -> None:
    events, left, _ = tell(None, seen(fingerprint=ONE, idle=True))
    assert kinds(events) == [("created", None), ("idle", None)]
    assert [(event.version, event.previous_version) for event in events] == [(1, None), (2, 1)]
    assert (left.version, left.awaits_idle) == (2, False)


def test_complete_content_that_is_not_idle_yet_is_told_as_idle_later_and_unread() -> None:
    events, left, _ = tell(None, seen(fingerprint=ONE, idle=False))
    assert kinds(events) == [("created", None)]
    assert left.awaits_idle
    events, left, out = tell(replace(left, row_id=7), seen(idle=True))
    assert kinds(events) == [("idle", None)]
    assert events[0].fingerprint == ONE
    assert (len(out.settled), out.again) == (1, [])
    assert tell(left, seen(idle=True))[0] == [], "once"


def test_what_grew_is_told_once_when_it_is_idle_with_what_was_read() -> None:
    growing = row(fingerprint=None, growing=True, racy=True, awaits_idle=True)
    events, left, _ = tell(growing, seen(GROWN, fingerprint=TWO, metadata={"duration": 1.0}, idle=True))
    assert kinds(events) == [("idle", None)]
    assert (events[0].fingerprint, events[0].metadata, events[0].growing) == (TWO, {"duration": 1.0}, False)
    assert (left.stat, left.growing, left.awaits_idle, left.version) == (GROWN, False, False, 2)


def test_what_was_idle_and_is_written_again_awaits_it_anew() -> None:
    events, left, _ = tell(row(), seen(GROWN, growing=True, idle=False))
    assert kinds(events) == [("modified", CONTENT)]
    assert (events[0].growing, events[0].fingerprint, left.awaits_idle) == (True, None, True)


def test_the_same_content_is_never_idle_twice() -> None:
    events, left, _ = tell(row(), seen(LATER, fingerprint=ONE, idle=True))
    assert events == []
    assert not left.awaits_idle


def test_what_cannot_be_read_or_may_have_changed_is_not_called_idle() -> None:
    events, left, _ = tell(None, seen(error="forbidden", idle=True))
    assert kinds(events) == [("created", None)]
    assert not left.awaits_idle
    events, _, out = tell(row(awaits_idle=True, racy=True), seen(idle=True))
    assert (events, len(out.again)) == ([], 1)


def test_where_idle_is_no_longer_wanted_what_awaits_it_is_forgotten() -> None:
    events, left, _ = tell(row(awaits_idle=True), seen())
    assert (events, left.awaits_idle) == ([], False)


# -- mode and owner ------------------------------------------------------------------------------------


def test_a_change_of_mode_that_the_kernel_told_is_told_unread() -> None:
    events, left, out = tell(row(attributes=MINE), seen(LATER, attributes=YOURS))
    assert kinds(events) == [("modified", ATTRIBUTES)]
    assert (events[0].fingerprint, left.stat, left.attributes) == (ONE, LATER, YOURS)
    assert (out.again, out.recheck) == ([], [])


@pytest.mark.parametrize("how", [{"source": Source.RESCAN}, {"owed": True}, {"attributes": MINE}])
def test_where_a_write_may_hide_behind_it_the_file_is_read(how: dict[str, Any]) -> None:
    events, _, out = tell(row(attributes=MINE), seen(LATER, **({"attributes": YOURS} | how)))
    assert (events, len(out.again)) == ([], 1)


def test_what_a_scan_read_tells_the_mode_alone_or_both() -> None:
    same = seen(LATER, attributes=YOURS, fingerprint=ONE, source=Source.RESCAN)
    assert kinds(tell(row(attributes=MINE), same)[0]) == [("modified", ATTRIBUTES)]
    other = seen(GROWN, attributes=YOURS, fingerprint=TWO, source=Source.RESCAN)
    assert kinds(tell(row(attributes=MINE), other)[0]) == [("modified", BOTH)]


def test_what_was_never_known_is_learnt_without_a_word() -> None:
    events, left, _ = tell(row(), seen(attributes=MINE))
    assert (events, left.attributes) == ([], MINE)


def test_what_changes_while_nobody_asks_is_forgotten_so_that_it_is_not_told_later() -> None:
    events, left, _ = tell(row(attributes=MINE), seen(LATER, fingerprint=ONE))
    assert (events, left.attributes) == ([], None)
    assert tell(row(attributes=MINE), seen())[1].attributes == MINE


def test_a_file_that_may_no_longer_be_read_tells_its_mode_and_keeps_its_content() -> None:
    events, left, _ = tell(row(attributes=MINE), seen(LATER, attributes=YOURS, error="forbidden"))
    assert kinds(events) == [("modified", ATTRIBUTES)]
    assert events[0].event_type is EventType.MODIFIED
    assert left.fingerprint == ONE
