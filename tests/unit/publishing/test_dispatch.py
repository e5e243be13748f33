"""What goes to the broker when: order per path, the window, confirms, loss, and reading again."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import OutboxMessage
from file_watcher.publishing.dispatch import Dispatch, RelayConfig
from tests.support.messages import recorded
from tests.support.outbox import MemoryLane, MemoryOutbox

CONFIG = RelayConfig(window=4, page=3)


class Bench:
    """A dispatch with its outbox and lane, and a clock of the test's own."""

    def __init__(self, *messages: OutboxMessage, config: RelayConfig = CONFIG) -> None:
        self.outbox = MemoryOutbox(messages)
        self.lane = MemoryLane()
        self.dispatch = Dispatch(self.outbox, config)
        self.dispatch.ready(self.lane)
        self.now = 100.0

    def confirm(self, *messages: OutboxMessage, routed: bool = True) -> None:
        self.dispatch.settled(messages, self.now, routed=routed)

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.dispatch.woken()
        self.dispatch.mark(self.now)
        self.dispatch.fill(self.now)


def test_nothing_is_read_before_a_broker_answers() -> None:
    outbox = MemoryOutbox([recorded(1)])
    dispatch = Dispatch(outbox, CONFIG)

    dispatch.fill(0.0)

    assert outbox.reads == []
    assert not dispatch.is_ready


def test_messages_are_submitted_in_the_order_of_the_outbox_up_to_the_window() -> None:
    bench = Bench(*(recorded(sequence) for sequence in range(1, 10)))

    bench.step()

    assert bench.lane.sequences == [1, 2, 3, 4]
    assert bench.dispatch.in_flight == 4


def test_confirms_make_room_for_the_next_ones() -> None:
    messages = [recorded(sequence) for sequence in range(1, 10)]
    bench = Bench(*messages)
    bench.step()

    bench.confirm(messages[2], messages[0])
    bench.step()

    assert bench.lane.sequences == [1, 2, 3, 4, 5, 6]
    assert bench.outbox.published == [3, 1]


def test_the_window_also_counts_bytes() -> None:
    messages = [recorded(sequence, body=b"x" * 100) for sequence in range(1, 5)]
    bench = Bench(*messages, config=RelayConfig(window=100, window_bytes=150))
    bench.step()
    assert bench.lane.sequences == [1, 2]

    bench.confirm(messages[0])
    bench.step()
    assert bench.lane.sequences == [1, 2, 3]


def test_a_second_event_of_a_path_waits_for_the_first_ones_confirm() -> None:
    first, second, other = recorded(1, b"/m/a"), recorded(2, b"/m/a"), recorded(3, b"/m/b")
    bench = Bench(first, second, other)

    bench.step()
    assert bench.lane.sequences == [1, 3]

    bench.confirm(other)
    bench.step()
    assert bench.lane.sequences == [1, 3]

    bench.confirm(first)
    bench.step()
    assert bench.lane.sequences == [1, 3, 2]


def test_a_chain_of_moves_goes_out_one_after_the_other() -> None:
    tail = recorded(1, b"/m/4", b"/m/3")
    middle = recorded(2, b"/m/3", b"/m/2")
    head = recorded(3, b"/m/2", b"/m/1")
    bench = Bench(tail, middle, head)

    sent: list[list[int]] = []
    for message in (tail, middle, head):
        bench.step()
        sent.append(bench.lane.sequences[:])
        bench.confirm(message)

    assert sent == [[1], [1, 2], [1, 2, 3]]


def test_a_path_waits_behind_a_deferred_move_that_touches_it() -> None:
    first, move, onto = recorded(1, b"/m/a"), recorded(2, b"/m/b", b"/m/a"), recorded(3, b"/m/b")
    bench = Bench(first, move, onto)

    bench.step()
    assert bench.lane.sequences == [1]
    bench.confirm(first)
    bench.step()
    assert bench.lane.sequences == [1, 2]
    bench.confirm(move)
    bench.step()
    assert bench.lane.sequences == [1, 2, 3]


def test_what_lies_below_a_path_waits_for_it_and_the_reverse() -> None:
    """A file became a folder, and later a file again; a refusal must not let one overtake the other."""
    gone, below, beside = recorded(1, b"/m/a"), recorded(2, b"/m/a/x"), recorded(3, b"/m/b")
    moved_out, again = recorded(4, b"/m/c", b"/m/a/x"), recorded(5, b"/m/a")
    bench = Bench(gone, below, beside, moved_out, again)

    for confirmed, sent in ((gone, [1, 3]), (below, [1, 3, 2]), (moved_out, [1, 3, 2, 4])):
        bench.step()
        assert bench.lane.sequences == sent
        bench.confirm(confirmed)
    bench.step()

    assert bench.lane.sequences == [1, 3, 2, 4, 5]


def test_a_notice_about_a_library_goes_between_what_came_before_and_after_it() -> None:
    before, notice, after = recorded(1, b"/m/a"), recorded(2, b"/m"), recorded(3, b"/m/b")
    bench = Bench(before, notice, after)

    for confirmed, sent in ((before, [1]), (notice, [1, 2])):
        bench.step()
        assert bench.lane.sequences == sent
        bench.confirm(confirmed)
    bench.step()

    assert bench.lane.sequences == [1, 2, 3]


def test_nothing_is_submitted_before_it_is_noted_as_perhaps_sent() -> None:
    messages = [recorded(sequence) for sequence in range(1, 10)]
    bench = Bench(*messages, config=RelayConfig(window=100, page=3, reserve_ahead=2))
    bench.outbox.fail_times = 1
    with pytest.raises(CatalogUnavailable):
        bench.step()

    reserve, noted = bench.outbox.reserve, list[tuple[int, list[int]]]()

    def away_at_first(up_to: int, library_ids: Collection[int]) -> None:
        noted.append((up_to, bench.lane.sequences))
        bench.outbox.fail_times = int(len(noted) == 1)
        reserve(up_to, library_ids)

    bench.outbox.reserve = away_at_first  # type: ignore[method-assign]
    with pytest.raises(CatalogUnavailable):
        bench.step()
    assert bench.lane.sequences == []
    bench.step()

    assert noted == [(5, []), (5, []), (8, []), (11, [])], "two ahead of each page, and none needs two"
    assert bench.lane.sequences == list(range(1, 10))


def test_what_was_merged_before_it_was_noted_is_not_sent() -> None:
    bench = Bench(*(recorded(sequence) for sequence in range(1, 7)))
    reserve = bench.outbox.reserve

    def merge_first(up_to: int, library_ids: Collection[int]) -> None:
        bench.outbox.merge_away(1, 2)
        reserve(up_to, library_ids)

    bench.outbox.reserve = merge_first  # type: ignore[method-assign]
    bench.step()

    assert bench.lane.sequences == [3, 4, 5, 6]


def test_without_a_broker_nothing_is_noted_as_sent() -> None:
    bench = Bench(recorded(1))
    bench.dispatch.lost()

    bench.step()

    assert bench.outbox.reserved == []


def test_a_busy_path_does_not_hold_up_the_pages_behind_it() -> None:
    same = [recorded(sequence, b"/m/a") for sequence in (1, 2)]
    bench = Bench(*same, recorded(3), recorded(4), recorded(5))

    bench.step()

    assert bench.lane.sequences == [1, 3, 4, 5]


def test_a_deferred_event_for_which_there_was_no_room_goes_once_there_is() -> None:
    first, second = recorded(1, b"/m/a", body=b"x"), recorded(2, b"/m/a")
    others = [recorded(3, body=b"x" * 100), recorded(4, body=b"x" * 100)]
    bench = Bench(first, second, *others, config=RelayConfig(window_bytes=150))
    bench.step()
    bench.confirm(first)
    bench.step()
    assert bench.lane.sequences == [1, 3, 4]

    bench.confirm(others[0])
    bench.step()

    assert bench.lane.sequences == [1, 3, 4, 2]


def test_nothing_is_marked_before_its_confirm() -> None:
    bench = Bench(recorded(1))

    bench.step()
    bench.step()

    assert bench.outbox.published == []


def test_confirms_are_gathered_while_others_are_in_flight() -> None:
    messages = [recorded(sequence) for sequence in (1, 2, 3)]
    bench = Bench(*messages)
    bench.step()
    bench.confirm(messages[0])

    assert bench.dispatch.wait_seconds(bench.now) == pytest.approx(CONFIG.mark_seconds)
    bench.step(seconds=CONFIG.mark_seconds / 2)
    assert bench.outbox.published == []
    bench.confirm(messages[1])
    bench.step(seconds=CONFIG.mark_seconds)
    assert bench.outbox.published == [1, 2]


def test_the_last_confirm_is_marked_at_once() -> None:
    message = recorded(1)
    bench = Bench(message)
    bench.step()
    bench.confirm(message)

    bench.step(seconds=0.0)

    assert bench.outbox.published == [1]


def test_unrouted_messages_are_marked_as_such_and_free_their_path() -> None:
    first, second = recorded(1, b"/m/a"), recorded(2, b"/m/a")
    bench = Bench(first, second)
    bench.step()

    bench.confirm(first, routed=False)
    bench.step()

    assert (bench.outbox.published, bench.outbox.unrouted) == ([], [1])
    assert bench.lane.sequences == [1, 2]


def test_what_was_in_flight_at_a_loss_is_published_again_in_order() -> None:
    messages = [recorded(sequence, b"/m/a" if sequence < 3 else b"") for sequence in range(1, 6)]
    bench = Bench(*messages)
    bench.step()
    bench.confirm(messages[2])

    bench.dispatch.lost()
    bench.step()
    assert bench.outbox.published == [3]

    again = MemoryLane()
    bench.dispatch.ready(again)
    bench.step()
    assert again.sequences == [1, 4, 5]


def test_confirmed_messages_are_never_read_again_while_marking_fails() -> None:
    message = recorded(1)
    bench = Bench(message)
    bench.step()
    bench.confirm(message)
    bench.outbox.fail_times = 1

    with pytest.raises(CatalogUnavailable):
        bench.dispatch.mark(bench.now)
    bench.dispatch.woken()
    bench.dispatch.fill(bench.now)
    bench.step()

    assert bench.lane.sequences == [1]
    assert bench.outbox.published == [1]
    assert bench.dispatch.unmarked == 0


def test_a_read_that_fails_loses_nothing_and_sends_what_was_read_before() -> None:
    bench = Bench(*(recorded(sequence) for sequence in range(1, 5)))
    read = bench.outbox.pending

    def once_then_away(
        after_sequence: int, limit: int, left_behind: Collection[int] = ()
    ) -> list[OutboxMessage]:
        bench.outbox.fail_times = int(after_sequence > 0)
        return read(after_sequence, limit, left_behind)

    bench.outbox.pending = once_then_away  # type: ignore[method-assign]
    with pytest.raises(CatalogUnavailable):
        bench.step()
    assert bench.lane.sequences == [1, 2, 3]

    bench.outbox.pending = read  # type: ignore[method-assign]
    bench.step()
    assert bench.lane.sequences == [1, 2, 3, 4]


def test_a_message_that_became_visible_late_is_found_once_nothing_is_in_flight() -> None:
    later = recorded(5)
    bench = Bench(later)
    bench.step()
    bench.outbox.add(recorded(2))
    bench.step()
    assert bench.lane.sequences == [5]

    bench.confirm(later)
    bench.step()

    assert bench.lane.sequences == [5, 2]


def test_an_empty_outbox_is_asked_once_per_wake_up() -> None:
    bench = Bench()
    bench.step()
    reads = len(bench.outbox.reads)

    bench.dispatch.fill(bench.now)

    assert reads == 1
    assert len(bench.outbox.reads) == 1
    assert bench.dispatch.wait_seconds(bench.now) == CONFIG.poll_seconds


def test_a_rate_limit_spreads_messages_over_time() -> None:
    messages = [recorded(sequence) for sequence in range(1, 40)]
    bench = Bench(*messages, config=RelayConfig(rate_limit=10.0))

    bench.step()
    assert bench.lane.sequences == [1]
    wait = bench.dispatch.wait_seconds(bench.now)
    assert wait == pytest.approx(0.1)
    bench.step(seconds=wait)
    bench.step(seconds=0.01)
    assert bench.lane.sequences == [1, 2]


def test_a_full_window_is_no_reason_to_spin_though_the_rate_would_allow_more() -> None:
    bench = Bench(recorded(1), recorded(2), config=RelayConfig(window=1, rate_limit=1000.0))

    bench.step()

    assert bench.lane.sequences == [1]
    assert bench.dispatch.wait_seconds(bench.now) == RelayConfig().poll_seconds


NAMES = (b"/a", b"/b", b"/c", b"/a/x", b"/a/x/y", b"/b/x")
PATHS = st.sampled_from(NAMES)


def connected(one: bytes, other: bytes) -> bool:
    """Whether one is the other or a folder above it."""
    return (one + b"/").startswith(other + b"/") or (other + b"/").startswith(one + b"/")


def touch(one: OutboxMessage, other: OutboxMessage) -> bool:
    pairs = itertools.product((one.path, one.old_path), (other.path, other.old_path))
    return any(connected(a, b) for a, b in pairs if a is not None and b is not None)


HISTORY = st.lists(st.tuples(PATHS, st.none() | PATHS), min_size=1, max_size=25)


@given(HISTORY, st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 5))
def test_no_event_overtakes_another_on_its_path_whatever_happens(
    history: list[tuple[bytes, bytes | None]], seed: int, window: int, page: int
) -> None:
    """Random confirms in any order, losses at any moment: all arrive, at least once, and those of connected
    paths in order."""
    sample = recorded(1)
    messages = [
        replace(sample, sequence=number, path=path, old_path=old)
        for number, (path, old) in enumerate(history, 1)
    ]
    bench = Bench(*messages, config=RelayConfig(window=window, page=page))
    chance = random.Random(seed)
    arrived: list[OutboxMessage] = []
    known = 0
    while len(bench.outbox.published) < len(messages):
        bench.step()
        flying = bench.lane.submitted[known:]
        pairs = itertools.combinations(flying, 2)
        assert not any(touch(*pair) for pair in pairs), "two unconfirmed events are connected"
        assert all(message.sequence <= max(bench.outbox.reserved) for message in flying)
        assert len(flying) <= window
        if chance.random() < 0.2:
            lucky = [message for message in flying if chance.random() < 0.5]
            arrived += lucky  # the broker has them, but the confirms are lost with the connection
            bench.dispatch.lost()
            bench.lane = MemoryLane()
            bench.dispatch.ready(bench.lane)
            known = 0
            continue
        confirmed = [message for message in flying if chance.random() < 0.6]
        chance.shuffle(confirmed)
        arrived += confirmed
        bench.confirm(*confirmed)
        rest = [message for message in flying if message not in confirmed]
        bench.lane.submitted[known:] = rest

    first_arrivals = list(dict.fromkeys(message.sequence for message in arrived))
    for early, late in itertools.combinations(first_arrivals, 2):
        assert early < late or not touch(messages[early - 1], messages[late - 1])
    assert sorted(first_arrivals) == list(range(1, len(messages) + 1))


class FleetBench(Bench):
    """A dispatch of an instance that may lose libraries."""

    def __init__(self, *messages: OutboxMessage, config: RelayConfig = CONFIG) -> None:
        super().__init__(*messages, config=config)
        self.mine = {1, 2}
        self.dispatch = Dispatch(self.outbox, config, lambda library_id: library_id in self.mine)
        self.dispatch.ready(self.lane)


def of(library_id: int, sequence: int, path: bytes = b"") -> OutboxMessage:
    return recorded(sequence, path or b"/%d/%d" % (library_id, sequence), library_id=library_id)


WIDE = RelayConfig(window=100, page=3)


def test_a_library_that_may_be_anothers_is_not_published_and_the_others_are() -> None:
    messages = [of(1 + sequence % 2, sequence) for sequence in range(1, 12)]
    bench = FleetBench(*messages, config=WIDE)
    bench.mine = {1}

    bench.step()
    bench.step()

    assert bench.lane.sequences == [2, 4, 6, 8, 10]
    assert set(bench.outbox.reserved_of) == {1}, "what is not sent is not noted as sent"


def test_what_was_kept_back_goes_out_in_order_once_the_lease_is_renewed() -> None:
    bench = FleetBench(of(1, 1, b"/1/a"), of(2, 2), of(1, 3, b"/1/a"), of(1, 4, b"/1/b"), config=WIDE)
    bench.mine = {2}
    bench.step()
    bench.mine = {1, 2}
    bench.step()

    assert bench.lane.sequences == [2, 1, 4], "beside what is under way, each once"
    bench.confirm(*bench.lane.submitted)
    bench.step()
    assert bench.lane.sequences == [2, 1, 4, 3]


def test_a_lease_that_is_renewed_between_two_messages_lets_none_overtake() -> None:
    bench = FleetBench(of(1, 1, b"/1/a"), of(1, 2, b"/1/b"), of(1, 3, b"/1/a"), config=WIDE)
    answers = iter([True, False, True, True, True, True, True, True, True])
    bench.dispatch = Dispatch(bench.outbox, WIDE, lambda _library_id: next(answers))
    bench.dispatch.ready(bench.lane)

    bench.step()
    assert bench.lane.sequences == [], "the first one was refused, so nothing later goes"
    bench.step()
    assert bench.lane.sequences == [1, 2]


def test_what_was_deferred_is_kept_back_too_when_the_lease_is_over() -> None:
    bench = FleetBench(of(1, 1, b"/1/a"), of(1, 2, b"/1/a"), config=WIDE)
    bench.step()
    bench.mine = set()
    bench.confirm(bench.lane.submitted[0])

    bench.step()
    assert bench.lane.sequences == [1]

    bench.mine = {1}
    bench.step()
    assert bench.lane.sequences == [1, 2]


def test_what_waits_of_a_library_that_was_taken_over_is_sent_while_much_is_under_way() -> None:
    bench = FleetBench(of(1, 5), of(1, 6), config=WIDE)
    bench.step()
    bench.outbox.add(of(2, 1), of(2, 2), of(2, 7))

    bench.step()
    assert bench.lane.sequences == [5, 6, 7], "reading went on from where it was"
    bench.dispatch.rewind()
    bench.step()

    assert bench.lane.sequences == [5, 6, 7, 1, 2]
    bench.confirm(*bench.lane.submitted)
    bench.step()
    assert sorted(bench.outbox.published) == [1, 2, 5, 6, 7], "each was sent and marked once"


def test_what_is_confirmed_but_not_marked_is_not_sent_again_by_a_second_reading() -> None:
    messages = [of(1, 1), of(1, 2), of(1, 3)]
    bench = FleetBench(*messages, config=WIDE)
    bench.step()
    bench.confirm(messages[0])
    bench.dispatch.rewind()

    bench.dispatch.fill(bench.now)

    assert bench.lane.sequences == [1, 2, 3]
    bench.dispatch.lost()
    bench.dispatch.ready(bench.lane)
    bench.step()
    assert bench.lane.sequences == [1, 2, 3, 2, 3], "what was lost is sent again"


def test_a_library_that_stays_shut_is_not_read_over_and_over() -> None:
    bench = FleetBench(*(of(1, sequence) for sequence in range(1, 20)), config=WIDE)
    bench.mine = set()

    bench.step()
    read = len(bench.outbox.reads)
    bench.step()

    assert bench.lane.sequences == []
    assert read == 7
    assert len(bench.outbox.reads) == read + 1
