"""Libraries at their rate limits: they wait, the others go on, and what is connected stays in order."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import OutboxMessage
from file_watcher.publishing import backlogs
from file_watcher.publishing.backlogs import Pacing
from file_watcher.publishing.dispatch import Dispatch, RelayConfig
from tests.support.messages import recorded
from tests.support.outbox import MemoryLane, MemoryOutbox

WIDE = RelayConfig(window=1000, page=10)


def library_of(path: bytes) -> int | None:
    """Libraries 1, 2 and 3 lie in /1, /2 and /3."""
    return int(path[1:2])


class Bench:
    """A dispatch, an outbox, a broker that confirms at once unless told otherwise, and a clock."""

    def __init__(
        self, *messages: OutboxMessage, config: RelayConfig = WIDE, rates: dict[int, float] | None = None
    ) -> None:
        self.outbox = MemoryOutbox(messages)
        self.lane = MemoryLane()
        self.rates = dict(rates or {})
        self.dispatch = Dispatch(self.outbox, config, pacing=Pacing(self._rate_of, library_of))
        self.dispatch.ready(self.lane)
        self.now = 100.0
        self._confirmed = 0

    def _rate_of(self, library_id: int) -> float | None:
        return self.rates.get(library_id)

    def step(self, seconds: float = 0.0, *, confirms: bool = True) -> list[int]:
        """What is submitted now."""
        before = len(self.lane.submitted)
        self.now += seconds
        self.dispatch.woken()
        self.dispatch.mark(self.now, force=True)
        self.dispatch.fill(self.now)
        if confirms:
            self.confirm()
        return self.lane.sequences[before:]

    def confirm(self) -> None:
        self.dispatch.settled(self.lane.submitted[self._confirmed :], self.now, routed=True)
        self._confirmed = len(self.lane.submitted)

    def run(self, seconds: float, every: float = 0.05) -> list[int]:
        return [each for _ in range(round(seconds / every)) for each in self.step(every)]

    @property
    def held(self) -> int:
        return sum(len(each.messages) for each in self.dispatch._backlogs._by_library.values())


def of(library_id: int, sequence: int, path: bytes = b"", old_path: bytes | None = None) -> OutboxMessage:
    path = path or b"/%d/%d" % (library_id, sequence)
    return recorded(sequence, path, old_path, library_id=library_id, body=b"{}")


def test_a_library_at_its_limit_does_not_hold_up_the_others_and_little_of_it_is_read() -> None:
    """5,000 messages of one library lie before those of another one, and between them."""
    messages = [of(2 if number % 1000 == 0 else 1, number) for number in range(1, 5001)]
    bench = Bench(*messages, rates={1: 10.0})

    sent = bench.step()

    assert [each for each in sent if each % 1000 == 0] == [1000, 2000, 3000, 4000, 5000]
    assert [each for each in sent if each % 1000] == [1], "a tenth of a second's worth"
    assert bench.held == WIDE.page
    assert len(bench.outbox.reads) < 20, "what is left behind is not read through page by page"
    reads = len(bench.outbox.reads)
    bench.run(1.0)
    assert len(bench.outbox.reads) - reads <= 20, "one look for something new at each step"


def test_a_limited_library_keeps_its_rate_and_its_order_and_loses_nothing() -> None:
    messages = [of(1, number) for number in range(1, 101)]
    bench = Bench(*messages, rates={1: 20.0})

    sent = bench.run(2.0)
    assert len(sent) == pytest.approx(40, abs=3)
    sent += bench.run(6.0)

    assert sent == list(range(1, 101))
    assert not bench.dispatch._backlogs
    bench.outbox.add(of(1, 200))
    assert bench.step(1.0) == [200]


def test_each_library_has_a_limit_of_its_own() -> None:
    messages = [of(1 + number % 2, number) for number in range(1, 1001)]
    bench = Bench(*messages, rates={1: 50.0, 2: 200.0})
    sent = bench.run(2.0)
    counts = [sum(each % 2 == odd for each in sent) for odd in (0, 1)]
    assert counts == [pytest.approx(100, abs=10), pytest.approx(400, abs=40)]


def test_another_limit_holds_at_once_and_none_lets_all_go() -> None:
    bench = Bench(*(of(1, number) for number in range(1, 301)), rates={1: 1.0})
    assert len(bench.run(2.0)) == pytest.approx(2, abs=1)
    bench.rates[1] = 50.0
    assert len(bench.run(2.0)) == pytest.approx(100, abs=8)
    del bench.rates[1]
    sent = bench.step()
    assert sent[-1] == 300
    assert len(bench.outbox.published) + len(sent) == 300


def test_the_limit_of_all_holds_beside_those_of_single_libraries() -> None:
    messages = [of(1 + number % 2, number) for number in range(1, 1001)]
    bench = Bench(*messages, config=replace(WIDE, rate_limit=200.0), rates={1: 50.0})
    sent = bench.run(2.0)
    assert len(sent) == pytest.approx(400, abs=40)
    assert sum(each % 2 == 0 for each in sent) == pytest.approx(100, abs=10)


def test_a_limit_that_is_the_one_of_all_costs_nothing() -> None:
    bench = Bench(*(of(1, number) for number in range(1, 51)), config=replace(WIDE, rate_limit=30.0))
    bench.rates[1] = 30.0
    bench.run(0.5)
    assert not bench.dispatch._backlogs


def test_the_limit_of_all_may_change_and_end() -> None:
    bench = Bench(*(of(1, number) for number in range(1, 301)), config=replace(WIDE, rate_limit=1.0))
    assert len(bench.run(2.0)) == pytest.approx(2, abs=1)
    bench.dispatch.set_rate(50.0)
    assert len(bench.run(2.0)) == pytest.approx(100, abs=8)
    bench.dispatch.set_rate(None)
    assert bench.step()[-1] == 300


def test_how_long_to_wait_is_until_the_next_token_of_any_library() -> None:
    bench = Bench(*(of(1, number) for number in range(1, 9)), rates={1: 4.0})
    assert bench.step() == [1]
    bench.dispatch.mark(bench.now, force=True)
    assert bench.dispatch.wait_seconds(bench.now) == pytest.approx(0.25)
    bench.rates[1] = 1000.0
    bench.step(0.25, confirms=False)
    bench.rates[1] = 0.1
    assert bench.dispatch.wait_seconds(bench.now) == RelayConfig().poll_seconds, "all is under way"


def test_a_move_waits_until_the_library_that_the_file_came_from_has_told_what_was_before() -> None:
    made = [of(1, number, b"/1/%d.mp3" % number) for number in range(1, 6)]
    moved = of(2, 6, b"/2/5.mp3", b"/1/5.mp3")
    bench = Bench(*made, moved, of(3, 7), rates={1: 10.0})

    assert bench.step() == [1, 7]
    assert bench.run(1.0) == [2, 3, 4, 5, 6]


def test_a_library_that_goes_on_after_a_move_goes_on_in_order() -> None:
    """What comes after a move that has to wait waits with it; then it waits for the confirm of what was before."""
    messages = [of(1, 1), of(1, 2), of(2, 3), of(2, 4, b"/2/2", b"/1/2"), of(2, 5), of(3, 6)]
    bench = Bench(*messages, rates={1: 1.0})
    assert bench.step() == [1, 3, 6]
    assert bench.run(1.1) == [2, 5, 4]


@pytest.mark.parametrize("place", [b"/1/a", b"/1", b"/1/a/b"])
def test_what_lies_where_a_waiting_move_began_is_told_after_it(place: bytes) -> None:
    """The move's library is at its limit; the other one has a new file at, above or below that place."""
    messages = [of(2, 1), of(2, 2, b"/2/a", b"/1/a"), of(1, 3, place), of(3, 4)]
    bench = Bench(*messages, rates={2: 1.0})
    assert bench.step() == [1, 4]
    assert bench.run(1.1) == [2, 3]


def test_what_was_recorded_before_a_move_does_not_wait_for_it() -> None:
    """Both libraries are at their limits and left behind; the file's own events come first."""
    first = [of(1, number, b"/1/%d" % number) for number in range(1, 31)]
    moves = [of(2, 100 + number, b"/2/%d" % number, b"/1/%d" % number) for number in range(1, 31)]
    later = [of(1, 200 + number, b"/1/%d" % number) for number in range(1, 31)]
    bench = Bench(*first, *moves, *later, rates={1: 50.0, 2: 50.0}, config=RelayConfig(window=50, page=3))
    sent = bench.run(3.0)
    assert sorted(sent) == sorted(each.sequence for each in (*first, *moves, *later))
    for number in range(1, 31):
        assert sent.index(number) < sent.index(100 + number) < sent.index(200 + number)


def test_many_waiting_moves_hold_up_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "_MOST_MOVES", 5)
    moves = [of(2, number, b"/2/%d" % number, b"/1/%d" % number) for number in range(1, 9)]
    bench = Bench(*moves, of(3, 9), rates={2: 10.0})
    assert bench.step() == [1]
    sent = bench.run(1.5)
    assert sent.index(9) < sent.index(8), "it went on as soon as fewer moves waited"
    assert sorted(sent) == list(range(2, 10))


def test_a_move_that_was_merged_meanwhile_holds_up_nothing() -> None:
    crowd = [of(2, number) for number in range(1, 31)]
    bench = Bench(*crowd, of(2, 31, b"/2/a", b"/1/a"), of(1, 32, b"/1/a"), rates={2: 20.0})
    assert 32 not in bench.step()
    bench.outbox.merge_away(31)
    assert sorted(bench.run(3.0)) == [*range(3, 31), 32]


def test_a_lost_connection_forgets_what_is_held_and_reads_it_again() -> None:
    bench = Bench(*(of(1, number) for number in range(1, 21)), rates={1: 10.0})
    bench.step()
    bench.dispatch.lost()
    assert not bench.dispatch._backlogs
    bench.dispatch.ready(bench.lane)
    sent = bench.run(3.0)
    assert sent == list(range(2, 21))


PLACES = st.sampled_from([b"/1/a", b"/1/b", b"/2/a", b"/2/b", b"/3/a", b"/1/d/a", b"/1/d", b"/2", b"/1"])
HISTORY = st.lists(st.tuples(PLACES, st.none() | PLACES), min_size=1, max_size=40)


def touch(one: OutboxMessage, other: OutboxMessage) -> bool:
    paths = [[each.path] + ([each.old_path] if each.old_path else []) for each in (one, other)]
    return any(
        left == right or left.startswith(right + b"/") or right.startswith(left + b"/")
        for left, right in itertools.product(*paths)
    )


@given(HISTORY, st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 5))
def test_whatever_the_limits_all_arrive_and_what_is_connected_in_order(
    history: list[tuple[bytes, bytes | None]], seed: int, window: int, page: int
) -> None:
    messages = [of(library_of(path) or 0, number, path, old) for number, (path, old) in enumerate(history, 1)]
    chance = random.Random(seed)
    bench = Bench(*messages, config=RelayConfig(window=window, page=page))
    arrived: list[int] = []
    flying: list[OutboxMessage] = []
    for _ in range(100_000):
        if len(bench.outbox.published) == len(messages):
            break
        bench.rates = {
            number: chance.choice([1.0, 5.0, 50.0]) for number in (1, 2, 3) if chance.random() < 0.7
        }
        before = len(bench.lane.submitted)
        bench.step(chance.choice([0.0, 0.1, 1.0]), confirms=False)
        flying += bench.lane.submitted[before:]
        assert not any(touch(*pair) for pair in itertools.combinations(flying, 2))
        assert len(flying) <= window
        assert bench.held <= 3 * page, "little of what waits is in memory"
        confirmed = [each for each in flying if chance.random() < 0.6]
        arrived += [each.sequence for each in confirmed]
        if chance.random() < 0.1:
            bench.dispatch.lost()
            bench.dispatch.ready(bench.lane)
            flying = []
            continue
        if chance.random() < 0.1:
            bench.dispatch.rewind()
        bench.dispatch.settled(confirmed, bench.now, routed=True)
        flying = [each for each in flying if each not in confirmed]

    first_arrivals = list(dict.fromkeys(arrived))
    for early, late in itertools.combinations(first_arrivals, 2):
        assert early < late or not touch(messages[early - 1], messages[late - 1])
    assert sorted(first_arrivals) == list(range(1, len(messages) + 1))
