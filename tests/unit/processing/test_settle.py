from __future__ import annotations

import pytest

from file_watcher.model import FileStat, Source, Ticket
from file_watcher.processing.settle import SettleConfig, Verdict, still_for, verdict
from tests.support.world import LIBRARY

CONFIG = SettleConfig(quiet=1.0, max_wait=30.0)
STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)
START = 1000.0


def ticket(
    *,
    closed: bool = False,
    last_stat: FileStat | None = STAT,
    still_since: float = START,
    waited_since: float = START,
    told_growing: float | None = None,
) -> Ticket:
    return Ticket(
        path=b"/lib/a",
        library=LIBRARY,
        is_folder=False,
        closed=closed,
        must_hash=False,
        moved_from=frozenset(),
        source=Source.KERNEL,
        noticed=START,
        changed_ns=0,
        waited_since=waited_since,
        last_stat=last_stat,
        still_since=still_since,
        told_growing=told_growing,
    )


def judge(each: Ticket, after: float, *, is_open: bool | None, stat: FileStat = STAT) -> Verdict:
    return verdict(CONFIG, each, stat, is_open, START + after)


def test_a_file_that_nobody_has_open_is_ready_at_once() -> None:
    assert judge(ticket(last_stat=None), 0, is_open=False) is Verdict.READY
    assert judge(ticket(), 60, is_open=False, stat=STAT._replace(size=9)) is Verdict.READY


def test_a_file_that_somebody_has_open_waits_even_if_a_close_was_seen() -> None:
    assert judge(ticket(closed=True), 29, is_open=True) is Verdict.WAIT


def test_where_openness_cannot_be_known_a_close_is_enough() -> None:
    assert judge(ticket(closed=True, last_stat=None), 0, is_open=None) is Verdict.READY


@pytest.mark.parametrize(("after", "expected"), [(0.99, Verdict.WAIT), (1.0, Verdict.READY)])
def test_where_nothing_can_be_known_a_stat_that_holds_still_for_the_window_is_enough(
    after: float, expected: Verdict
) -> None:
    assert judge(ticket(), after, is_open=None) is expected


def test_the_first_look_proves_no_stillness() -> None:
    assert judge(ticket(last_stat=None), 29, is_open=None) is Verdict.WAIT


@pytest.mark.parametrize("change", [{"size": 4}, {"mtime_ns": 9}, {"inode": 9}])
def test_a_change_of_size_mtime_or_inode_begins_the_stillness_anew(change: dict[str, int]) -> None:
    assert still_for(ticket(), STAT._replace(**change), START + 5) == 0.0
    assert judge(ticket(), 5, is_open=None, stat=STAT._replace(**change)) is Verdict.WAIT


def test_a_change_of_ctime_alone_is_no_movement() -> None:
    assert still_for(ticket(), STAT._replace(ctime_ns=9), START + 5) == 5.0


@pytest.mark.parametrize(("after", "expected"), [(29.9, Verdict.WAIT), (30.0, Verdict.READY_BUT_OPEN)])
def test_an_open_file_that_holds_still_for_max_wait_is_told_all_the_same(
    after: float, expected: Verdict
) -> None:
    assert judge(ticket(), after, is_open=True) is expected


@pytest.mark.parametrize(("after", "expected"), [(29.9, Verdict.WAIT), (30.0, Verdict.GROWING)])
@pytest.mark.parametrize("is_open", [True, None])
def test_a_file_that_grows_is_silent_until_max_wait(
    after: float, expected: Verdict, is_open: bool | None
) -> None:
    assert judge(ticket(), after, is_open=is_open, stat=STAT._replace(size=99)) is expected


def test_a_file_that_was_not_seen_to_move_does_not_grow() -> None:
    """Its first look may come late; and a stalled copy is not told as growing while it stalls."""
    assert judge(ticket(last_stat=None), 99, is_open=True) is Verdict.WAIT
    assert judge(ticket(still_since=START + 20), 45, is_open=True) is Verdict.WAIT


@pytest.mark.parametrize(("after", "expected"), [(69.9, Verdict.WAIT), (70.0, Verdict.GROWING)])
def test_growth_is_told_again_at_most_every_max_wait(after: float, expected: Verdict) -> None:
    each = ticket(told_growing=START + 40)
    assert judge(each, after, is_open=True, stat=STAT._replace(size=99)) is expected


@pytest.mark.parametrize(("after", "expected"), [(79.9, Verdict.WAIT), (80.0, Verdict.GROWING)])
def test_a_new_wait_after_the_last_telling_counts_from_its_own_beginning(
    after: float, expected: Verdict
) -> None:
    each = ticket(waited_since=START + 50, told_growing=START + 40)
    assert judge(each, after, is_open=True, stat=STAT._replace(size=99)) is expected
