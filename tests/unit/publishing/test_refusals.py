"""What the broker refused: how much of it is tried again, and when."""

from __future__ import annotations

from file_watcher.publishing.refusals import FIRST_SECONDS, LASTING_SECONDS, LONGEST_SECONDS, Refusals
from tests.support.messages import recorded

MESSAGES = [recorded(number) for number in range(1, 101)]


def numbers(refusals: Refusals) -> list[int]:
    return [message.sequence for message in refusals.take()]


def test_one_is_tried_first_and_twice_as_many_each_time_while_all_are_taken() -> None:
    refusals = Refusals()
    assert refusals.refused(MESSAGES[:10], 0.0) == FIRST_SECONDS
    assert refusals.refused(MESSAGES[10:12], 0.0) is None, "it is planned"
    sizes = []
    pause: float | None = FIRST_SECONDS
    while pause is not None:
        assert pause == FIRST_SECONDS
        trial = refusals.take()
        sizes.append(len(trial))
        pause = refusals.taken(trial)
    assert sizes == [1, 2, 4, 5]
    assert not refusals.is_active


def test_the_pause_grows_with_each_try_that_fails() -> None:
    refusals = Refusals()
    pauses = [refusals.refused(MESSAGES[:10], 0.0)]
    for _ in range(12):
        trial = refusals.take()
        assert len(trial) == 1
        pauses.append(refusals.refused(trial, 0.0))
    assert pauses[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS
    assert len(refusals) == 10
    assert refusals.taken(refusals.take()) == FIRST_SECONDS


def test_what_else_is_taken_meanwhile_says_nothing_of_what_is_refused() -> None:
    """Another routing key, whose queues have room."""
    refusals = Refusals()
    refusals.refused(MESSAGES[:2], 0.0)
    refusals.refused(refusals.take(), 0.0)
    trial = refusals.take()
    assert refusals.taken(MESSAGES[50:60]) is None
    assert refusals.refused(trial, 0.0) == 4 * FIRST_SECONDS
    assert refusals.is_active


def test_of_those_that_are_tried_together_a_part_may_be_taken() -> None:
    refusals = Refusals()
    refusals.refused(MESSAGES[:10], 0.0)
    refusals.taken(refusals.take())
    refusals.taken(refusals.take())
    first, *others = refusals.take()
    assert len(others) == 3
    assert refusals.refused([first], 0.0) is None, "of the others nothing is known yet"
    assert refusals.refused(others[:2], 0.0) is None
    assert refusals.taken(others[2:]) == 2 * FIRST_SECONDS
    assert numbers(refusals) == [8]


def test_what_is_refused_for_long_is_a_trouble_until_all_is_taken() -> None:
    refusals = Refusals()
    assert refusals.lasting_key(1e9) is None
    refusals.refused(MESSAGES[:1], 10.0)
    assert refusals.lasting_key(10.0 + LASTING_SECONDS / 2) is None
    assert refusals.lasting_key(10.0 + LASTING_SECONDS) == MESSAGES[0].routing_key
    trial = refusals.take()
    assert refusals.lasting_key(100.0) == MESSAGES[0].routing_key, "also while it is tried"
    refusals.taken(trial)
    assert refusals.lasting_key(100.0) is None
