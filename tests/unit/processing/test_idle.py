from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import FileRecord, FileStat, Source, Ticket
from file_watcher.processing.idle import Look, StreamConfig, Turn, idle_for, next_look, turn, until_told
from tests.support.world import LIBRARY, fingerprint_of

CONFIG = StreamConfig(idle=60.0, quiet=1.0, max_wait=30.0)
NOW, NOW_NS = 1000.0, 1_700_000_000 * 10**9
PATH, OLD = b"/lib/a.mp4", b"/lib/old.mp4"


def written(seconds_ago: float, size: int = 10) -> FileStat:
    at = NOW_NS - int(seconds_ago * 1e9)
    return FileStat(size, at, at, 7, 100)


def ticket(**known: object) -> Ticket:
    fresh = Ticket(
        path=PATH,
        library=LIBRARY,
        is_folder=False,
        closed=False,
        must_hash=False,
        moved_from=frozenset(),
        source=Source.KERNEL,
        noticed=NOW,
        changed_ns=0,
        waited_since=NOW,
        last_stat=None,
        still_since=NOW,
        told_growing=None,
    )
    return replace(fresh, **known)  # type: ignore[arg-type]


def row(stat: FileStat, *, growing: bool = False, path: bytes = PATH) -> FileRecord:
    fingerprint = None if growing else fingerprint_of(b"one")
    return FileRecord(path, LIBRARY.id, "file", 1, stat, fingerprint, growing=growing, awaits_idle=True)


def look(
    stat: FileStat, known: FileRecord | None = None, *, is_open: bool | None = False, **of_ticket: object
) -> Look:
    return Look(ticket(**of_ticket), stat, known, is_open, NOW, NOW_NS)


# -- what is new ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_open", "expected"), [(True, Turn.TELL_GROWTH), (False, Turn.READ)])
def test_a_new_file_is_told_at_once_and_read_only_if_nobody_writes(is_open: bool, expected: Turn) -> None:
    assert turn(CONFIG, look(written(1), is_open=is_open)) is expected


def test_where_openness_cannot_be_known_a_new_file_is_looked_at_twice() -> None:
    first = look(written(1), is_open=None)
    assert turn(CONFIG, first) is Turn.WAIT
    moved = look(written(1), is_open=None, last_stat=written(2, size=5), still_since=NOW - 1)
    assert turn(CONFIG, moved) is Turn.TELL_GROWTH
    still = look(written(1), is_open=None, last_stat=written(1), still_since=NOW - 1)
    assert turn(CONFIG, still) is Turn.READ
    assert turn(CONFIG, look(written(1), is_open=None, closed=True)) is Turn.READ


# -- what grows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_open", [True, False, None])
def test_what_is_longer_than_was_told_is_not_read_before_it_is_idle(is_open: bool | None) -> None:
    known = row(written(100, size=5))
    assert turn(CONFIG, look(written(1), known, is_open=is_open, closed=True)) is Turn.TELL_GROWTH
    if is_open is not None:
        assert turn(CONFIG, look(written(60), known, is_open=is_open)) is Turn.READ


def test_what_was_told_as_growing_is_not_read_when_it_is_closed() -> None:
    same = row(written(2), growing=True)
    assert turn(CONFIG, look(written(2), same, closed=True)) is Turn.REST
    assert turn(CONFIG, look(written(61), row(written(61), growing=True))) is Turn.READ


@pytest.mark.parametrize(("ago", "expected"), [(29.9, Turn.REST), (30.0, Turn.TELL_GROWTH)])
def test_growth_is_told_at_most_every_max_wait(ago: float, expected: Turn) -> None:
    known = row(written(ago, size=5), growing=True)
    assert turn(CONFIG, look(written(0), known, is_open=True, told_growing=NOW - ago)) is expected


@pytest.mark.parametrize(("ago", "expected"), [(29.9, Turn.REST), (30.0, Turn.TELL_GROWTH)])
def test_after_a_restart_the_row_says_when_growth_was_told(ago: float, expected: Turn) -> None:
    known = row(written(ago, size=5), growing=True)
    assert turn(CONFIG, look(written(0), known, is_open=True)) is expected


def test_a_row_from_the_future_does_not_silence_growth() -> None:
    assert until_told(CONFIG, look(written(0), row(written(-900, size=5), growing=True))) == 0.0


def test_growth_that_was_told_is_not_told_again_before_there_is_more() -> None:
    known = row(written(40), growing=True)
    assert turn(CONFIG, look(written(40), known, is_open=True, told_growing=NOW - 40)) is Turn.REST


def test_a_growing_file_that_is_moved_is_told_whatever_was_told_last() -> None:
    known = row(written(5), growing=True, path=OLD)
    moved = look(written(1), known, is_open=True, moved_from=frozenset({OLD}), told_growing=NOW - 1)
    assert turn(CONFIG, moved) is Turn.TELL_GROWTH


# -- what does not grow --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [9, 10])
def test_what_is_overwritten_and_closed_is_read_at_once(size: int) -> None:
    assert turn(CONFIG, look(written(1, size), row(written(100)), closed=True)) is Turn.READ


def test_what_must_be_read_although_its_stat_is_the_same_is_read_even_if_somebody_has_it_open() -> None:
    assert turn(CONFIG, look(written(9), row(written(9)), is_open=True, must_hash=True)) is Turn.READ


# -- how long nothing was written ----------------------------------------------------------------------


def test_the_ctime_tells_since_when_nothing_was_written_and_the_mtime_does_not() -> None:
    assert idle_for(look(written(90))) == 90
    set_back = written(5)._replace(mtime_ns=0)
    assert idle_for(look(set_back)) == 5


def test_a_clock_that_may_be_anothers_is_not_believed() -> None:
    """A server's clock that is an hour late would make each file idle while it is written."""
    assert idle_for(look(written(3600), is_open=None)) == 0
    watched = look(written(3600), is_open=None, last_stat=written(3600), still_since=NOW - 70)
    assert idle_for(watched) == 70


def test_a_ctime_in_the_future_leaves_it_to_the_looks() -> None:
    assert idle_for(look(written(-500), last_stat=written(-500), still_since=NOW - 7)) == 7


sizes = st.integers(0, 3)
ages = st.floats(-10, 200)
rows = st.none() | st.builds(
    lambda age, size, growing: row(written(age, size), growing=growing), ages, sizes, st.booleans()
)
looks = st.builds(
    lambda age, size, known, is_open, told, closed, still, last: look(
        written(age, size),
        known,
        is_open=is_open,
        closed=closed,
        told_growing=None if told is None else NOW - told,
        last_stat=written(age, last),
        still_since=NOW - still,
    ),
    ages,
    sizes,
    rows,
    st.sampled_from([True, False, None]),
    st.none() | st.floats(0, 100),
    st.booleans(),
    st.floats(0, 100),
    sizes,
)


@given(looks)
def test_whatever_is_seen_nothing_that_grows_is_read_and_everything_is_looked_at_in_time(seen: Look) -> None:
    judged, known = turn(CONFIG, seen), seen.known
    idle = idle_for(seen) >= CONFIG.idle
    if idle:
        assert judged is Turn.READ
    elif known is not None and known.growing:
        assert judged in (Turn.TELL_GROWTH, Turn.REST)
    if judged is Turn.REST:
        assert known is not None
        is_trusted = known.fingerprint is not None and known.stat == seen.stat
        assert not is_trusted, "what rests is found again by its row"
    if judged is Turn.TELL_GROWTH and known is not None and known.growing:
        assert until_told(CONFIG, seen) <= 0
    assert CONFIG.quiet <= next_look(CONFIG, seen) <= CONFIG.idle / 4
