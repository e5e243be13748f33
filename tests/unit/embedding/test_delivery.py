from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from file_watcher.embedding.delivery import InProcessDelivery
from file_watcher.embedding.handover import Handover
from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.outlet import Source
from file_watcher.publishing.lane import Lane
from tests.support.jobs import job, recorded_job
from tests.support.parcels import LIBRARY, message, notice


class RelayStub:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lane: Lane | None = None
        self.confirmed: list[int] = []

    def on_ready(self, lane: Lane) -> None:
        self.lane = lane

    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None:
        self.confirmed += [each.sequence for each in messages]

    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None:
        raise AssertionError("everything goes to the program")

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None:
        raise AssertionError("everything goes to the program")

    def on_lost(self) -> None:
        raise AssertionError("this process is not lost")


class Scene:
    def __init__(self, *, existing: bool, unscanned: frozenset[int] = frozenset({1})) -> None:
        self.relay = RelayStub()
        self.handover = Handover()
        self.progress = 0
        source = Source((LIBRARY,), unscanned, lambda: 0)
        self.delivery = InProcessDelivery(
            self.relay, source, self.handover, lambda event: None, self._note, existing=existing
        )

    def _note(self) -> None:
        self.progress += 1

    def is_ready(self) -> bool:
        return self.delivery.is_started and not self.delivery.unknown()

    def names(self) -> list[str]:
        """What can be taken."""
        found = []
        taken = None
        while (taken := self.handover.take(taken, 0)) is not None:
            found.append(taken.message.event_id)
        return found


def test_it_is_ready_at_once_where_everything_is_told() -> None:
    at = Scene(existing=True)
    assert at.is_ready() is False
    at.delivery.start()
    assert at.relay.lane is at.delivery
    assert at.is_ready() is True
    assert at.progress == 1


def test_events_are_handed_over_and_notices_are_for_nobody() -> None:
    at = Scene(existing=True)
    at.delivery.start()
    at.delivery.submit([message(1), notice(2, "library.scanned"), message(3)])
    assert at.relay.confirmed == [2]
    assert at.names() == ["event-1", "event-3"]
    assert at.relay.confirmed == [2, 1, 3]


def test_what_was_there_before_the_first_scan_is_passed_over_where_that_is_wished() -> None:
    at = Scene(existing=False)
    at.delivery.start()
    at.delivery.submit([message(1), notice(2, "library.suspended"), message(3)])
    assert at.is_ready() is False
    at.delivery.submit([notice(4, "library.scanned"), message(5)])
    assert at.is_ready() is True
    assert at.names() == ["event-5"]
    assert at.relay.confirmed == [1, 2, 3, 4, 5]
    assert at.progress == 2


def test_in_a_folder_that_was_known_before_every_change_is_told() -> None:
    at = Scene(existing=False, unscanned=frozenset())
    at.delivery.start()
    at.delivery.submit([message(1), notice(2, "library.scanned")])
    assert at.names() == ["event-1"]


def test_of_a_library_that_joins_only_what_comes_after_its_first_scan_is_told() -> None:
    at = Scene(existing=False, unscanned=frozenset())
    at.delivery.start()
    other = replace(LIBRARY, id=2, root=b"/other")
    at.delivery.expect(Source((LIBRARY, other), frozenset({2}), lambda: 0))
    assert at.delivery.unknown() == {2}
    assert at.delivery.source.libraries == (LIBRARY, other)
    at.delivery.submit([message(1), message(2, library=other), notice(3, "library.scanned", library=other)])
    assert at.delivery.unknown() == frozenset()
    at.delivery.submit([message(4, library=other)])
    assert at.names() == ["event-1", "event-4"]


def test_a_library_that_is_known_stays_so_when_another_one_joins() -> None:
    at = Scene(existing=False)
    at.delivery.submit([notice(1, "library.scanned")])
    other = replace(LIBRARY, id=2, root=b"/other")
    # The catalog was asked before that notice was recorded.
    at.delivery.expect(Source((LIBRARY, other), frozenset({1}), lambda: 0))
    assert at.delivery.unknown() == frozenset()


def test_what_is_replayed_to_a_queue_of_a_broker_is_not_for_the_program() -> None:
    at = Scene(existing=True)
    at.delivery.start()
    at.delivery.submit([message(1, queue="somebodys")])
    assert at.names() == []
    assert at.relay.confirmed == [1]


def test_a_job_that_a_service_left_behind_is_not_for_the_program() -> None:
    at = Scene(existing=True)
    at.delivery.start()
    at.delivery.submit([recorded_job(1, job(queue="file")), message(2)])
    assert at.relay.confirmed == [1]
    assert at.names() == ["event-2"]


def test_it_is_a_stage_without_a_thread() -> None:
    at = Scene(existing=True)
    at.delivery.start()
    at.delivery.close()
    assert at.delivery.join(Deadline(0))
    assert at.delivery.health().ok
    assert at.delivery.progress().doing is None
