"""Unconfirmed messages by delivery tag."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import OutboxMessage
from file_watcher.publishing.window import Window
from tests.support.messages import recorded

MESSAGES = [recorded(sequence) for sequence in range(1, 21)]


def window_of(count: int) -> Window:
    window = Window()
    for moment, message in enumerate(MESSAGES[:count]):
        window.add(message, float(moment))
    return window


def numbers(messages: Sequence[OutboxMessage]) -> list[int]:
    return [message.sequence for message in messages]


def test_an_acknowledgement_settles_its_own_message() -> None:
    window = window_of(3)

    assert numbers(window.acknowledge(2, multiple=False).routed) == [2]
    assert len(window) == 2


def test_a_multiple_acknowledgement_settles_all_up_to_its_tag_in_order() -> None:
    window = window_of(5)
    window.acknowledge(2, multiple=False)

    assert numbers(window.acknowledge(4, multiple=True).routed) == [1, 3, 4]
    assert len(window) == 1


def test_tag_zero_with_multiple_settles_everything() -> None:
    assert numbers(window_of(3).acknowledge(0, multiple=True).routed) == [1, 2, 3]


def test_an_unknown_tag_settles_nothing() -> None:
    window = window_of(1)

    assert window.acknowledge(7, multiple=False).routed == []
    assert len(window) == 1


def test_a_returned_message_is_unrouted_once_it_is_acknowledged() -> None:
    window = window_of(3)
    window.returned(MESSAGES[1].event_id)

    assert len(window) == 3
    settled = window.acknowledge(3, multiple=True)
    assert (numbers(settled.routed), numbers(settled.unrouted)) == ([1, 3], [2])


def test_a_refused_message_comes_back_and_may_be_routed_the_next_time() -> None:
    window = window_of(2)
    window.returned(MESSAGES[0].event_id)

    assert numbers(window.refuse(2, multiple=True)) == [1, 2]
    window.add(MESSAGES[0], 9.0)
    assert numbers(window.acknowledge(3, multiple=False).routed) == [1]


def test_the_oldest_is_the_first_that_is_still_unconfirmed() -> None:
    window = window_of(3)
    window.acknowledge(1, multiple=False)

    assert window.oldest() == 1.0
    window.acknowledge(0, multiple=True)
    assert window.oldest() is None


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=30))
def test_each_message_is_settled_once_whatever_the_confirms_are(
    confirms: list[tuple[int, bool, bool]],
) -> None:
    window = window_of(20)
    seen: list[int] = []
    for tag, multiple, refused in confirms:
        if refused:
            seen += numbers(window.refuse(tag, multiple=multiple))
        else:
            seen += numbers(window.acknowledge(tag, multiple=multiple).routed)
    rest = numbers(window.acknowledge(0, multiple=True).routed)

    assert sorted(seen + rest) == list(range(1, 21))
    assert rest == sorted(rest)
