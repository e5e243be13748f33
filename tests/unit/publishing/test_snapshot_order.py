"""A snapshot on the wire: begun before its first file may be seen, ended when all of them are there."""

from __future__ import annotations

import random

import pytest

from file_watcher.model import OutboxMessage
from file_watcher.publishing.dispatch import Dispatch, RelayConfig
from tests.support.messages import recorded
from tests.support.outbox import MemoryLane, MemoryOutbox

ROOT = b"/music"


def notice(sequence: int, kind: str, queue: str | None) -> OutboxMessage:
    return recorded(sequence, ROOT, event_type=kind, routing_key=kind, queue=queue)


def a_library(queue: str | None) -> list[OutboxMessage]:
    """Live messages 1–3, the snapshot 4–9, live messages 10–11; and 12, of another library."""
    live = [
        recorded(1, ROOT + b"/1"),
        recorded(2, ROOT + b"/folder/2"),
        recorded(3, ROOT + b"/3", ROOT + b"/0"),
    ]
    told = [recorded(5 + number, ROOT + b"/folder/%d" % number, queue=queue) for number in range(4)]
    later = [recorded(10, ROOT + b"/folder/0"), recorded(11, ROOT + b"/new"), recorded(12, b"/musical/1")]
    return [*live, notice(4, "snapshot.begin", queue), *told, notice(9, "snapshot.end", queue), *later]


@pytest.mark.parametrize("queue", [None, "late"])
def test_begin_files_end_and_what_is_live_wait_for_one_another(queue: str | None) -> None:
    messages = a_library(queue)
    lane = MemoryLane()
    dispatch = Dispatch(MemoryOutbox(messages), RelayConfig(window=100, page=100))
    dispatch.ready(lane)

    def confirm(*sequences: int) -> list[int]:
        """Confirm these; returns what is submitted thereupon."""
        known = len(lane.sequences)
        dispatch.settled([messages[sequence - 1] for sequence in sequences], 1.0, routed=True)
        dispatch.mark(1.0, force=True)
        dispatch.fill(1.0)
        return lane.sequences[known:]

    assert confirm() == [1, 2, 3, 12]
    assert confirm(1, 3) == []
    assert confirm(2) == [4], "the beginning comes when all before it is confirmed"
    assert confirm(4) == [5, 6, 7, 8], "the files only after the beginning"
    assert confirm(5, 7, 8) == []
    assert confirm(6) == [9], "the end only after all files"
    assert confirm(9) == [10, 11], "and what is live goes on behind it"


def test_no_loss_of_the_broker_lets_a_file_out_of_its_snapshot() -> None:
    """Confirms in any order, and connections that are lost with anything under way."""
    for seed in range(50):
        dice = random.Random(seed)
        messages = a_library(None)
        outbox, lane = MemoryOutbox(messages), MemoryLane()
        dispatch = Dispatch(outbox, RelayConfig(window=dice.choice([2, 100]), page=dice.choice([1, 3, 100])))
        dispatch.ready(lane)
        arrived: list[int] = []
        while len(outbox.published) < len(messages):
            dispatch.woken()
            dispatch.fill(1.0)
            under_way, lane.submitted = lane.submitted, []
            dice.shuffle(under_way)
            confirmed = [message for message in under_way if dice.random() < 0.7]
            arrived += [
                message.sequence for message in under_way if message in confirmed or dice.random() < 0.5
            ]
            dispatch.settled(confirmed, 1.0, routed=True)
            dispatch.mark(1.0, force=True)
            if len(confirmed) < len(under_way):
                lane = MemoryLane()
                dispatch.lost()
                dispatch.ready(lane)
        first = {sequence: arrived.index(sequence) for sequence in range(1, 12)}
        assert first[4] < min(first[sequence] for sequence in range(5, 9)), seed
        assert first[9] > max(first[sequence] for sequence in range(5, 9)), seed
        assert max(first[sequence] for sequence in (1, 2, 3)) < first[4], seed
        assert min(first[10], first[11]) > first[9], seed
