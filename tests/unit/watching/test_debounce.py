from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from file_watcher.model import FileStat, Hint, HintKind, Library, Source, Ticket, Undecided
from file_watcher.watching.debounce import Debouncer
from file_watcher.watching.dirty import DebounceBounds, DebounceTiming
from tests.support.world import LIBRARY

A, B, C = b"/lib/a", b"/lib/b", b"/lib/c"
STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)


class Watched:
    """A debouncer with a window of one second, and short ways to give it hints."""

    def __init__(self, bounds: DebounceBounds | None = None) -> None:
        self.debouncer = Debouncer(lambda _: DebounceTiming(1.0), bounds=bounds)

    def kernel(self, path: bytes, now: float, kind: HintKind = HintKind.CREATED, **more: object) -> None:
        """A hint of the kernel."""
        self._hint(Hint(path, kind, **more), now)  # type: ignore[arg-type]

    def scan(self, path: bytes, now: float, source: Source = Source.SCAN, **how: object) -> None:
        """A hint that is due after `delay` seconds."""
        self._hint(Hint(path, HintKind.SCANNED, source=source), now, **how)

    def due(self, now: float, limit: int = 100) -> list[bytes]:
        """The paths that are due."""
        return [ticket.path for ticket in self.debouncer.due(now, limit)]

    def take(self, now: float) -> Ticket:
        """The one ticket that is due."""
        (ticket,) = self.debouncer.due(now, 100)
        return ticket

    def _hint(self, hint: Hint, now: float, **how: object) -> None:
        self.debouncer.hint(hint, LIBRARY, now, int(now * 1e9), **how)  # type: ignore[arg-type]


# -- what no row can be of ------------------------------------------------------------------------------


def test_what_a_scan_found_unrecorded_is_so_until_anybody_else_says_anything_of_it() -> None:
    watched = Watched()
    watched.scan(A, 10.0, is_unrecorded=True)
    ticket = watched.take(10.0)
    assert ticket.is_unrecorded
    watched.debouncer.again(ticket, 10.1, STAT, 1.0)
    assert not watched.take(11.1).is_unrecorded, "it may have been decided meanwhile"
    watched.scan(B, 20.0, is_unrecorded=True)
    watched.kernel(B, 20.0)
    assert not watched.take(21.0).is_unrecorded


def test_what_was_dirty_in_flight_or_in_the_background_before_a_scan_found_it_is_not_unrecorded() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.scan(A, 10.1, is_unrecorded=True)
    ticket = watched.take(11.0)
    assert not ticket.is_unrecorded
    watched.scan(A, 11.1, is_unrecorded=True)
    watched.debouncer.done(ticket, 11.2)
    ticket = watched.take(11.2)
    assert not ticket.is_unrecorded
    watched.debouncer.done(ticket, 11.3, look_again_after=50.0)
    watched.scan(A, 12.0, is_unrecorded=True)
    assert not watched.take(12.0).is_unrecorded


# -- the window ----------------------------------------------------------------------------------------


def test_a_path_is_due_once_it_has_been_quiet_for_the_window() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    assert watched.debouncer.next_due() == 11.0
    assert watched.due(10.99) == []
    assert watched.due(11.0) == [A]
    assert watched.due(99.0) == []


def test_every_hint_of_the_kernel_opens_the_window_anew() -> None:
    watched = Watched()
    for now in (10.0, 10.9, 11.8):
        watched.kernel(A, now)
    assert watched.due(12.7) == []
    assert watched.due(12.8) == [A]
    assert watched.debouncer.suppressed == 2


def test_a_thousand_hints_are_one_ticket() -> None:
    watched = Watched()
    for _ in range(1000):
        watched.kernel(A, 10.0)
    assert len(watched.debouncer) == 1
    assert watched.due(11.0) == [A]


def test_paths_do_not_wait_for_one_another() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.kernel(B, 10.5)
    assert watched.due(11.0) == [A]
    assert watched.debouncer.next_due() == 11.5
    assert watched.due(11.5) == [B]


def test_tickets_come_in_the_order_of_their_hints_and_no_more_than_asked_for() -> None:
    watched = Watched()
    for path in (C, A, B):
        watched.kernel(path, 10.0)
    assert watched.due(11.0, limit=2) == [C, A]
    assert watched.due(11.0, limit=2) == [B]


def test_a_path_that_is_hinted_at_without_end_is_looked_at_all_the_same() -> None:
    watched = Watched()
    for tenths in range(100, 401, 5):
        watched.kernel(A, tenths / 10)
        assert watched.due(tenths / 10) == ([A] if tenths == 400 else [])


def test_the_longest_wait_is_counted_from_the_first_hint_and_ends_no_earlier_than_now() -> None:
    watched = Watched()
    watched.debouncer = Debouncer(lambda _: DebounceTiming(1.0, 5.0))
    for now in (10.0, 10.8, 11.6, 12.4, 13.2, 14.0, 14.8):
        watched.kernel(A, now)
    assert watched.due(14.99) == []
    watched.kernel(A, 16.0)
    assert watched.due(15.99) == []
    assert watched.due(16.0) == [A]


def test_nothing_is_due_of_nothing() -> None:
    watched = Watched()
    assert (watched.due(10.0), watched.debouncer.next_due(), len(watched.debouncer)) == ([], None, 0)
    assert watched.debouncer.oldest_noticed() is None


def test_a_scans_hint_is_due_at_once_or_after_its_delay() -> None:
    watched = Watched()
    watched.scan(A, 10.0)
    watched.scan(B, 10.0, delay=5.0)
    assert watched.due(10.0) == [A]
    assert watched.due(14.9) == []
    assert watched.due(15.0) == [B]


def test_a_scans_hint_does_not_shorten_an_open_window() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.scan(A, 10.1)
    assert watched.due(10.9) == []
    assert watched.due(11.0) == [A]


def test_a_scans_hint_does_not_lengthen_an_open_window() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.scan(A, 10.1, delay=50.0)
    assert watched.due(11.0) == [A]


def test_the_kernels_hint_opens_a_window_for_what_a_scan_had_found() -> None:
    watched = Watched()
    watched.scan(A, 10.0, delay=0.5)
    watched.kernel(A, 10.2)
    assert watched.due(11.1) == []
    assert watched.due(11.2) == [A]


def test_an_earlier_wish_makes_a_delayed_one_earlier() -> None:
    watched = Watched()
    watched.scan(A, 10.0, delay=50.0)
    watched.scan(A, 11.0, delay=1.0)
    assert watched.due(12.0) == [A]
    assert watched.due(99.0) == []


def test_a_later_wish_makes_a_delayed_one_no_earlier_than_itself() -> None:
    watched = Watched()
    watched.scan(A, 10.0, delay=1.0)
    watched.scan(A, 10.0, delay=2.0)
    assert watched.due(11.5) == []
    assert watched.due(12.0) == [A]


# -- what a ticket says --------------------------------------------------------------------------------


def test_a_ticket_holds_all_that_the_hints_told() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.MOVED, moved_from=B)
    watched.kernel(A, 10.3, HintKind.CLOSED)
    watched.kernel(A, 10.5, HintKind.MOVED, moved_from=C, is_folder=True)
    assert watched.take(11.5) == Ticket(
        path=A,
        library=LIBRARY,
        is_folder=True,
        closed=True,
        must_hash=False,
        moved_from=frozenset({B, C}),
        source=Source.KERNEL,
        noticed=10.0,
        changed_ns=10_000_000_000,
        waited_since=10.0,
        last_stat=None,
        still_since=10.0,
        told_growing=None,
    )


def test_a_ticket_says_no_more_than_the_hint() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    assert (ticket.is_folder, ticket.closed, ticket.must_hash, ticket.moved_from) == (
        False,
        False,
        False,
        frozenset(),
    )


def test_former_names_that_were_told_before_are_added() -> None:
    watched = Watched()
    watched.scan(A, 10.0, moved_from=frozenset({B}))
    watched.scan(A, 10.0, moved_from=frozenset({C}))
    assert watched.take(10.0).moved_from == {B, C}


def test_what_a_ticket_told_is_not_told_again_by_the_next() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.CLOSED, moved_from=B, is_folder=True)
    watched.scan(A, 10.0, must_hash=True)
    first = watched.take(11.0)
    watched.scan(A, 12.0, source=Source.RESCAN)
    watched.debouncer.done(first, 13.0)
    second = watched.take(13.0)
    assert first.must_hash
    assert (second.closed, second.must_hash, second.is_folder, second.moved_from) == (
        False,
        False,
        False,
        frozenset(),
    )
    assert second.source is Source.RESCAN


def test_the_source_that_tells_most_is_the_tickets() -> None:
    order = [Source.KERNEL, Source.SCAN, Source.RESCAN, Source.RECHECK]
    for first in order:
        for second in order:
            watched = Watched()
            watched.scan(A, 10.0, source=first)
            watched.scan(A, 10.0, source=second)
            stronger = min(first, second, key=order.index)
            assert watched.take(11.0).source is stronger, (first, second)


def test_a_hint_that_stands_for_an_earlier_one_is_dated_back() -> None:
    watched = Watched()
    watched.scan(A, 10.0, noticed=3.0)
    assert watched.debouncer.oldest_noticed() == 3.0
    watched.scan(A, 10.0, noticed=5.0)
    assert watched.take(10.0).noticed == 3.0
    watched.kernel(B, 10.0)
    watched.scan(B, 10.5, noticed=2.0)
    assert watched.take(11.0).noticed == 2.0


def test_a_rename_of_what_was_renamed_remembers_the_first_name() -> None:
    watched = Watched()
    watched.kernel(B, 10.0, HintKind.MOVED, moved_from=A)
    watched.kernel(C, 10.1, HintKind.MOVED, moved_from=B)
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(11.1, 10)}
    assert tickets[C].moved_from == {A, B}


def test_a_rename_of_what_was_renamed_and_is_looked_at_just_now_remembers_the_first_name() -> None:
    watched = Watched()
    watched.kernel(B, 10.0, HintKind.MOVED, moved_from=A)
    looked_at = watched.take(11.0)
    watched.kernel(C, 11.1, HintKind.MOVED, moved_from=B)
    assert watched.take(12.1).moved_from == {A, B}
    watched.debouncer.done(looked_at, 12.2)
    watched.kernel(b"/lib/d", 12.3, HintKind.MOVED, moved_from=B)
    assert watched.take(13.3).moved_from == {B}, "the decider knows of what was decided"


def test_a_file_whose_folder_was_moved_next_remembers_the_first_name() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.CLOSED)
    watched.kernel(b"/lib/old/x", 10.1, HintKind.MOVED, moved_from=A)
    watched.scan(b"/lib/new/x", 10.2, moved_from=frozenset({b"/lib/old/x"}))
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(11.5, 10)}
    ticket = tickets[b"/lib/new/x"]
    assert ticket.moved_from == {b"/lib/old/x", A}
    assert ticket.closed


def test_a_file_that_left_a_folder_which_had_just_been_moved_remembers_all_names() -> None:
    watched = Watched()
    watched.kernel(b"/lib/old/x", 10.0, HintKind.MOVED, moved_from=A)
    watched.kernel(b"/lib/new", 10.1, HintKind.MOVED, moved_from=b"/lib/old", is_folder=True)
    watched.kernel(B, 10.2, HintKind.MOVED, moved_from=b"/lib/new/x")
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(11.5, 10)}
    assert tickets[B].moved_from == {b"/lib/new/x", b"/lib/old/x", A}


def test_folders_that_were_moved_into_one_another_have_an_end() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.MOVED, moved_from=A + b"/b", is_folder=True)
    watched.kernel(B, 10.1, HintKind.MOVED, moved_from=A + b"/x")
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(11.5, 10)}
    assert tickets[B].moved_from == {A + b"/x", A + b"/b/x", A + b"/b/b/x"}


def test_a_rename_of_what_was_closed_counts_as_closed() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.CLOSED)
    watched.kernel(B, 10.1, HintKind.MOVED, moved_from=A)
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(11.1, 10)}
    assert tickets[B].closed


def test_a_library_that_took_over_a_path_is_the_tickets() -> None:
    watched = Watched()
    other = Library(2, "other", "test", b"/lib")
    watched.scan(A, 10.0, background=True, delay=9.0)
    watched.debouncer.hint(Hint(A, HintKind.CLOSED), other, 10.0, 0)
    assert watched.take(11.0).library == other


# -- in flight -----------------------------------------------------------------------------------------


def test_never_more_than_one_ticket_of_a_path_is_in_flight() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.kernel(A, 11.5)
    assert watched.due(99.0) == []
    watched.debouncer.done(first, 99.0)
    assert watched.due(99.0) == [A]


def test_a_decided_path_is_forgotten() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    assert len(watched.debouncer) == 1
    watched.debouncer.done(ticket, 12.0)
    assert len(watched.debouncer) == 0
    assert watched.due(99.0) == []
    watched.kernel(A, 100.0)
    assert watched.take(101.0).noticed == 100.0


def test_a_hint_that_came_while_in_flight_keeps_its_window() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.kernel(A, 12.0)
    watched.debouncer.done(first, 12.5)
    assert watched.due(12.9) == []
    second = watched.take(13.0)
    assert (second.noticed, second.waited_since) == (12.0, 12.5)


def test_the_first_of_the_hints_that_came_while_in_flight_dates_the_next_ticket() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.kernel(A, 12.0)
    watched.kernel(A, 12.5)
    watched.scan(A, 12.6, noticed=11.9)
    watched.debouncer.done(first, 12.7)
    assert watched.debouncer.oldest_noticed() == 11.9
    assert watched.take(13.5).noticed == 11.9


def test_a_scans_hint_while_in_flight_is_due_when_the_first_is_done() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.scan(A, 11.1)
    watched.debouncer.done(first, 12.0)
    assert watched.due(12.0) == [A]


def test_a_delayed_wish_while_in_flight_keeps_its_delay() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.scan(A, 11.1, delay=5.0, must_hash=True)
    watched.debouncer.done(first, 12.0)
    assert watched.due(16.0) == []
    assert watched.take(16.1).must_hash


def test_a_delayed_wish_does_not_lengthen_the_window_of_a_hint_that_came_while_in_flight() -> None:
    for first, second in (("kernel", "scan"), ("scan", "kernel")):
        watched = Watched()
        watched.kernel(A, 10.0)
        ticket = watched.take(11.0)
        for what in (first, second):
            if what == "kernel":
                watched.kernel(A, 11.5)
            else:
                watched.scan(A, 11.5, delay=50.0)
        watched.debouncer.done(ticket, 11.7)
        assert watched.due(12.5) == [A], first


def test_a_scans_hint_while_in_flight_does_not_shorten_the_window_of_the_kernels() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.kernel(A, 11.5)
    watched.scan(A, 11.6)
    watched.debouncer.done(first, 11.7)
    assert watched.due(12.4) == []
    assert watched.due(12.5) == [A]


# -- not ready to be decided ---------------------------------------------------------------------------


def test_a_path_that_was_not_ready_is_due_again_with_all_that_was_told() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.CLOSED, moved_from=B, is_folder=True)
    watched.scan(A, 10.0, must_hash=True)
    first = watched.take(11.0)
    watched.debouncer.again(first, 11.0, None, 2.0)
    assert watched.due(12.9) == []
    assert watched.take(13.0) == first


def test_stillness_is_counted_from_the_first_look_that_saw_it() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    for now in (11.0, 12.0, 13.0):
        watched.debouncer.again(watched.take(now), now, STAT, 1.0)
    ticket = watched.take(14.0)
    assert (ticket.last_stat, ticket.still_since, ticket.waited_since) == (STAT, 11.0, 10.0)


def test_a_change_of_size_mtime_or_inode_ends_the_stillness_and_a_change_of_ctime_does_not() -> None:
    for change, still_since in (
        ({"size": 4}, 12.0),
        ({"mtime_ns": 9}, 12.0),
        ({"inode": 9}, 12.0),
        ({"ctime_ns": 9}, 11.0),
    ):
        watched = Watched()
        watched.kernel(A, 10.0)
        watched.debouncer.again(watched.take(11.0), 11.0, STAT, 1.0)
        watched.debouncer.again(watched.take(12.0), 12.0, STAT._replace(**change), 1.0)
        assert watched.take(13.0).still_since == still_since, change


def test_a_look_that_saw_no_stat_leaves_the_stillness_alone() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.again(watched.take(11.0), 11.0, STAT, 1.0)
    watched.debouncer.again(watched.take(12.0), 12.0, None, 1.0)
    ticket = watched.take(13.0)
    assert (ticket.last_stat, ticket.still_since) == (STAT, 11.0)


def test_a_hint_that_came_during_the_look_decides_when_the_next_is_due() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    first = watched.take(11.0)
    watched.kernel(A, 11.5, HintKind.CLOSED)
    watched.debouncer.again(first, 11.6, STAT, 30.0)
    assert watched.due(12.4) == []
    second = watched.take(12.5)
    assert (second.closed, second.noticed) == (True, 10.0)
    watched.debouncer.done(second, 13.0)
    assert len(watched.debouncer) == 0, "nothing came since the second look"


def test_a_hint_while_waiting_for_the_next_look_opens_a_window() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.again(watched.take(11.0), 11.0, STAT, 5.0)
    watched.kernel(A, 15.8)
    assert watched.due(16.5) == []
    assert watched.due(16.8) == [A]


# -- in the background ---------------------------------------------------------------------------------


def test_a_background_path_is_not_dirty_until_it_is_looked_at() -> None:
    watched = Watched()
    watched.scan(A, 10.0, background=True, must_hash=True, delay=0.5)
    assert len(watched.debouncer) == 0
    assert not watched.debouncer.undecided(99.0, 99.0, 99.0)
    assert watched.debouncer.next_due() == 10.5
    assert watched.due(10.4) == []
    ticket = watched.take(11.0)
    assert (ticket.must_hash, ticket.noticed, ticket.waited_since) == (True, 11.0, 11.0)
    assert ticket.source is Source.RECHECK
    assert len(watched.debouncer) == 1
    watched.debouncer.done(ticket, 12.0)
    assert len(watched.debouncer) == 0


def test_fresh_changes_come_before_the_background_which_comes_in_small_portions() -> None:
    watched = Watched()
    for number in range(5):
        watched.scan(b"/lib/%d" % number, 10.0, background=True)
    watched.kernel(A, 10.0)
    assert watched.due(11.0) == [A]
    assert [len(watched.due(11.0)) for _ in range(4)] == [2, 2, 1, 0]


def test_the_background_is_limited_to_what_was_asked_for() -> None:
    watched = Watched()
    for path in (A, B):
        watched.scan(path, 10.0, background=True)
    assert watched.due(10.0, limit=1) == [A]


def test_a_hint_brings_a_background_path_forward_with_what_it_wanted() -> None:
    watched = Watched()
    watched.scan(A, 10.0, background=True, must_hash=True, delay=50.0)
    watched.kernel(A, 20.0)
    assert len(watched.debouncer) == 1
    ticket = watched.take(21.0)
    assert (ticket.must_hash, ticket.noticed, ticket.waited_since) == (True, 20.0, 20.0)
    assert (ticket.changed_ns, ticket.source) == (20_000_000_000, Source.KERNEL)
    watched.debouncer.done(ticket, 22.0)
    assert watched.due(99.0) == [], "the look in the background is done with"


def test_the_next_look_is_the_earlier_of_both_lanes() -> None:
    watched = Watched()
    watched.scan(A, 10.0, background=True, delay=5.0)
    watched.scan(B, 10.0, delay=9.0)
    assert watched.debouncer.next_due() == 15.0
    watched.kernel(C, 10.0)
    assert watched.debouncer.next_due() == 11.0


def test_a_look_in_the_background_leaves_nothing_behind() -> None:
    watched = Watched()
    watched.scan(A, 10.0, background=True)
    watched.debouncer.again(watched.take(10.0), 10.0, STAT, 1.0)
    watched.debouncer.done(watched.take(11.0), 11.0)
    watched.kernel(A, 20.0)
    assert watched.take(21.0).last_stat is None


def test_a_hint_opens_its_window_although_the_background_was_about_to_look() -> None:
    watched = Watched()
    watched.scan(A, 10.0, background=True, delay=0.5)
    watched.kernel(A, 10.2)
    assert watched.due(11.1) == []
    assert watched.due(11.2) == [A]


def test_what_was_not_told_as_growing_is_kept_an_eye_on_without_that_date() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.done(watched.take(11.0), 11.0, look_again_after=1.0)
    assert watched.take(12.0).told_growing is None


def test_of_two_wishes_in_the_background_the_earlier_counts() -> None:
    for first, second in ((50.0, 5.0), (5.0, 50.0)):
        watched = Watched()
        watched.scan(A, 10.0, background=True, delay=first)
        watched.scan(A, 10.0, background=True, delay=second)
        assert watched.due(14.9) == []
        assert watched.due(15.0) == [A]
        assert watched.due(99.0) == []


def test_a_wish_in_the_background_for_a_dirty_path_joins_it() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.scan(A, 10.1, background=True, must_hash=True, delay=50.0)
    assert watched.take(11.0).must_hash


def test_a_path_that_is_kept_an_eye_on_is_looked_at_in_the_background() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.again(watched.take(11.0), 11.0, STAT, 1.0)
    watched.debouncer.done(watched.take(12.0), 12.0, look_again_after=30.0, growing=True)
    assert len(watched.debouncer) == 0
    assert watched.due(41.9) == []
    ticket = watched.take(42.0)
    assert (ticket.told_growing, ticket.last_stat, ticket.still_since) == (12.0, STAT, 11.0)
    assert (ticket.waited_since, ticket.source) == (42.0, Source.RECHECK)


def test_a_hint_that_came_while_in_flight_goes_before_keeping_an_eye_on_it() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    watched.kernel(A, 11.5)
    watched.debouncer.done(ticket, 12.0, look_again_after=30.0, growing=True)
    assert len(watched.debouncer) == 1
    assert watched.take(12.5).told_growing == 12.0


# -- what is undecided ---------------------------------------------------------------------------------


def test_a_hint_is_undecided_until_its_path_is_decided() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    assert watched.debouncer.undecided(10.0, 30.0, 10.5)
    assert not watched.debouncer.undecided(9.9, 30.0, 10.5)
    ticket = watched.take(11.0)
    assert watched.debouncer.undecided(10.0, 30.0, 11.5)
    watched.debouncer.done(ticket, 12.0)
    assert not watched.debouncer.undecided(10.0, 30.0, 12.0)


def test_the_oldest_hint_of_all_is_known() -> None:
    watched = Watched()
    for path, now in ((A, 11.0), (B, 10.0), (C, 12.0)):
        watched.kernel(path, now)
    assert watched.debouncer.oldest_noticed() == 10.0


def test_a_file_that_was_found_open_for_long_is_not_waited_for() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.again(watched.take(11.0), 11.0, STAT, 1.0)
    assert watched.debouncer.undecided(10.0, 30.0, 40.0)
    assert not watched.debouncer.undecided(10.0, 30.0, 40.1)


def test_a_file_whose_turn_has_not_come_is_waited_for_however_long_it_takes() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    assert watched.debouncer.undecided(10.0, 30.0, 99.0)
    watched.take(99.0)
    assert watched.debouncer.undecided(10.0, 30.0, 999.0)


def test_a_file_that_was_found_open_and_is_being_read_is_waited_for() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    watched.debouncer.again(watched.take(11.0), 11.0, STAT, 1.0)
    watched.take(12.0)
    assert watched.debouncer.undecided(10.0, 30.0, 99.0)


def test_a_long_reading_is_told_apart_until_somebody_hints_at_its_file_again() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    watched.kernel(B, 12.0)
    watched.debouncer.begin_reading(ticket, STAT)
    assert watched.debouncer.undecided_now(30.0, 12.5) == Undecided(12.0, ((10.0, STAT),))
    assert watched.debouncer.undecided(10.0, 30.0, 12.5), "for a barrier it is undecided as ever"
    watched.kernel(A, 13.0)
    assert watched.debouncer.undecided_now(30.0, 13.0) == Undecided(10.0)


def test_a_long_reading_that_ended_is_forgotten_however_it_ended() -> None:
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    watched.debouncer.begin_reading(ticket, STAT)
    watched.debouncer.again(ticket, 12.0, None, 1.0)
    assert watched.debouncer.undecided_now(30.0, 12.0) == Undecided(10.0), "it has changed meanwhile"
    watched.debouncer.begin_reading(ticket, STAT)
    assert watched.debouncer.undecided_now(30.0, 12.0) == Undecided(10.0), "nobody reads it now"
    ticket = watched.take(13.0)
    watched.debouncer.begin_reading(ticket, STAT)
    assert watched.debouncer.undecided_now(30.0, 13.0) == Undecided(None, ((10.0, STAT),))
    watched.debouncer.done(ticket, 14.0)
    assert watched.debouncer.undecided_now(30.0, 14.0) == Undecided()
    watched.debouncer.begin_reading(ticket, STAT)
    assert watched.debouncer.undecided_now(30.0, 14.0) == Undecided()


def test_a_file_that_waits_for_its_turn_to_be_read_is_known_until_somebody_hints_at_it() -> None:
    """As large ones do while others are read; each of them may take hours."""
    watched = Watched()
    watched.kernel(A, 10.0)
    ticket = watched.take(11.0)
    watched.debouncer.begin_reading(ticket, STAT)
    watched.debouncer.again(ticket, 11.5, STAT, 1.0)
    assert watched.debouncer.undecided_now(30.0, 12.0) == Undecided(None, ((10.0, STAT),))
    ticket = watched.take(12.5)
    assert watched.debouncer.undecided_now(30.0, 12.5) == Undecided(None, ((10.0, STAT),))
    watched.debouncer.again(ticket, 12.5, STAT._replace(size=4), 1.0)
    assert watched.debouncer.undecided_now(30.0, 12.5) == Undecided(10.0)
    watched.debouncer.begin_reading(watched.take(13.5), STAT)
    watched.kernel(A, 14.0)
    watched.debouncer.again(ticket, 14.0, STAT, 1.0)
    assert watched.debouncer.undecided_now(30.0, 14.0) == Undecided(10.0), "it was hinted at while in flight"
    watched.debouncer.begin_reading(watched.take(15.0), STAT)
    watched.debouncer.again(ticket, 15.0, STAT, 1.0)
    watched.kernel(A, 15.5)
    assert watched.debouncer.undecided_now(30.0, 15.5) == Undecided(10.0), "and while it waited"


def test_a_hint_dated_back_is_undecided_also_while_its_path_is_in_flight_or_was_put_back() -> None:
    watched = Watched()
    watched.scan(A, 20.0)
    ticket = watched.take(20.0)
    watched.scan(A, 21.0, noticed=10.0)
    assert watched.debouncer.undecided(15.0, 30.0, 21.0)
    watched.debouncer.again(ticket, 22.0, None, 1.0)
    assert watched.debouncer.undecided(15.0, 30.0, 22.0)
    watched.debouncer.done(watched.take(23.0), 23.0)
    assert watched.debouncer.oldest_noticed() is None


def test_what_is_folded_into_a_folder_in_flight_is_undecided_since_its_own_hint() -> None:
    watched = Watched(DebounceBounds(waiting=4))
    watched.kernel(b"/lib/album", 20.0, is_folder=True)
    ticket = watched.take(21.0)
    for number in range(5):
        watched.scan(b"/lib/album/%d" % number, 21.5, noticed=10.0)
    assert len(watched.debouncer) == 1
    assert watched.debouncer.undecided(15.0, 30.0, 21.5)
    watched.debouncer.again(ticket, 22.0, None, 1.0)
    assert watched.take(99.0).noticed == 10.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"/lib/%d/%d" % (folder, number) for folder in range(3) for number in range(6)]),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_a_path_that_was_hinted_at_is_known_as_such_until_it_is_decided(
    hints: list[tuple[bytes, bool]],
) -> None:
    watched = Watched(DebounceBounds(waiting=3))
    for path, is_folder in hints:
        watched.kernel(path, 20.0, is_folder=is_folder)
    for path, is_folder in hints:
        assert watched.debouncer.may_be_hinted(path, LIBRARY)
        assert not is_folder or watched.debouncer.may_be_hinted(path + b"/below", LIBRARY)


def test_what_merely_lies_below_a_folder_that_stands_for_others_was_not_hinted_at() -> None:
    watched = Watched(DebounceBounds(waiting=3))
    for number in range(4):
        watched.kernel(b"/lib/album/%d" % number, 20.0)
    assert len(watched.debouncer) == 1
    assert watched.debouncer.may_be_hinted(b"/lib/album/0", LIBRARY)
    assert not watched.debouncer.may_be_hinted(b"/lib/album/other", LIBRARY)


# -- whatever happens ----------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["kernel", "scan", "background", "due", "done", "again"]),
        st.sampled_from([A, B, C]),
        st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_every_hint_is_followed_by_a_ticket_and_no_path_has_two(
    actions: list[tuple[str, bytes, float]],
) -> None:
    watched = Watched()
    now = 10.0
    hinted: dict[bytes, float] = {}
    flying: dict[bytes, Ticket] = {}
    for what, path, seconds in actions:
        now += seconds
        if what == "due":
            for ticket in watched.debouncer.due(now, 2):
                assert ticket.path not in flying
                flying[ticket.path] = ticket
                hinted.pop(ticket.path, None)
        elif what == "done" and path in flying:
            watched.debouncer.done(flying.pop(path), now)
        elif what == "again" and path in flying:
            watched.debouncer.again(flying.pop(path), now, None, seconds)
            hinted[path] = now
        elif what == "kernel":
            watched.kernel(path, now)
            hinted[path] = now
        elif what in ("scan", "background"):
            watched.scan(path, now, delay=seconds, background=what == "background")
            hinted[path] = now
    for ticket in flying.values():
        watched.debouncer.done(ticket, now)
    seen: set[bytes] = set()
    while (due := watched.debouncer.next_due()) is not None:
        assert due <= now + 11.0
        for ticket in watched.debouncer.due(due, 2):
            seen.add(ticket.path)
            watched.debouncer.done(ticket, due)
    assert seen >= hinted.keys()
    assert len(watched.debouncer) == 0


# -- too many dirty paths --------------------------------------------------------------------------------


def crowded(*paths: bytes, waiting: int = 4, folders: int = 64) -> Watched:
    """Kernel hints at these, one each tenth of a second, where no more than so many may wait."""
    watched = Watched(DebounceBounds(waiting=waiting, folders=folders))
    for number, path in enumerate(paths):
        watched.kernel(path, 10.0 + number / 10, HintKind.CLOSED)
    return watched


ALBUM = [b"/lib/album/%d" % number for number in range(5)]


def test_the_folder_stands_for_its_dirty_files_when_there_are_too_many() -> None:
    watched = crowded(*ALBUM)
    ticket = watched.take(99.0)
    assert (ticket.path, ticket.is_folder, ticket.source) == (b"/lib/album", True, Source.KERNEL)
    assert ticket.noticed == 10.0, "the earliest hint that it stands for"
    assert watched.debouncer.is_folded(b"/lib/album")
    assert watched.debouncer.folded == 5


def test_the_fullest_folder_is_folded_and_the_others_stay_as_they_are() -> None:
    watched = crowded(*ALBUM[:4], b"/lib/other/a")
    assert sorted(watched.due(99.0)) == [b"/lib/album", b"/lib/other/a"]


def test_lone_files_are_folded_into_a_folder_that_they_have_in_common() -> None:
    watched = crowded(*[b"/lib/artist/%d/song" % number for number in range(5)])
    assert watched.due(99.0) == [b"/lib/artist"]


def test_nothing_is_coarser_than_the_librarys_root() -> None:
    watched = crowded(*[b"/lib/%d/deep/er/song" % number for number in range(5)], b"/lib/song")
    assert watched.due(99.0) == [b"/lib"]


def test_a_hint_below_a_folder_that_waits_is_its_hint() -> None:
    watched = crowded(*ALBUM)
    watched.kernel(b"/lib/album/disc/9", 12.0)
    watched.scan(b"/lib/album/8", 12.0, noticed=3.0)
    assert len(watched.debouncer) == 1
    assert watched.take(99.0).noticed == 3.0


def test_a_hint_below_a_folder_in_flight_is_looked_at_by_itself() -> None:
    watched = crowded(*ALBUM)
    ticket = watched.take(12.0)
    watched.kernel(b"/lib/album/9", 13.0)
    watched.debouncer.done(ticket, 14.0)
    assert watched.due(99.0) == [b"/lib/album/9"]


def test_a_folder_that_is_folded_into_while_in_flight_is_scanned_once_more() -> None:
    watched = crowded(*ALBUM)
    first = watched.take(12.0)
    for path in ALBUM:
        watched.kernel(path, 13.0)
    assert watched.due(99.0) == [], "one ticket at a time"
    watched.debouncer.done(first, 99.0)
    again = watched.take(99.0)
    assert (again.path, again.is_folder, again.noticed) == (b"/lib/album", True, 13.0)
    watched.debouncer.done(again, 99.5)
    assert len(watched.debouncer) == 0


def test_what_was_closed_after_writing_is_owed_its_reading_until_its_folder_was_scanned() -> None:
    watched = crowded(*ALBUM)
    watched.kernel(b"/lib/album/8", 12.0, HintKind.CLOSED)
    watched.kernel(b"/lib/album/9", 12.0, HintKind.CREATED)
    watched.scan(b"/lib/album/x", 12.0, must_hash=True)
    owed = [*ALBUM, b"/lib/album/8", b"/lib/album/x"]
    ticket = watched.take(99.0)
    assert all(watched.debouncer.may_owe_reading(path) for path in owed)
    assert not watched.debouncer.may_owe_reading(b"/lib/album/9")
    watched.debouncer.done(ticket, 99.0)
    assert not any(watched.debouncer.may_owe_reading(path) for path in owed)


def test_an_owed_reading_goes_along_when_the_file_is_moved() -> None:
    watched = crowded(*ALBUM)
    watched.scan(b"/lib/new/3", 12.0, moved_from=frozenset([b"/lib/album/3"]))
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(99.0, 9)}
    assert tickets[b"/lib/new/3"].must_hash


def test_an_owed_reading_is_remembered_until_folders_that_moved_were_scanned_too() -> None:
    watched = crowded(*ALBUM)
    watched.kernel(b"/lib/new", 12.0, HintKind.MOVED, moved_from=b"/lib/album", is_folder=True)
    tickets = {ticket.path: ticket for ticket in watched.debouncer.due(99.0, 9)}
    watched.debouncer.done(tickets[b"/lib/album"], 99.0)
    watched.scan(b"/lib/new/3", 99.0, moved_from=frozenset([b"/lib/album/3"]))
    assert watched.take(99.0).must_hash
    watched.debouncer.done(tickets[b"/lib/new"], 99.0)
    assert not watched.debouncer.may_owe_reading(b"/lib/album/3")


def test_a_file_that_moves_while_it_is_to_be_read_is_read_at_its_new_place() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.CLOSED)
    in_flight = watched.take(11.0)
    watched.kernel(B, 11.0, HintKind.MOVED, moved_from=A)
    assert watched.take(12.0).must_hash
    watched.debouncer.done(in_flight, 12.0)
    watched.kernel(C, 13.0, HintKind.MOVED, moved_from=A)
    assert not watched.take(14.0).must_hash, "it was decided before"


def test_one_write_of_many_puts_off_no_look_that_is_due_anyway() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, HintKind.WRITTEN)
    watched.kernel(A, 10.9, HintKind.WRITTEN)
    ticket = watched.take(11.0)
    watched.kernel(A, 11.1, HintKind.WRITTEN)
    watched.debouncer.done(ticket, 11.2, look_again_after=60.0)
    again = watched.take(12.1)
    assert again.path == A, "what was written after the look is looked at"
    watched.debouncer.done(again, 12.2, look_again_after=5.0)
    watched.kernel(A, 12.3, HintKind.WRITTEN)
    assert watched.due(14.0) == [], "it rests, and is looked at in time"
    assert watched.due(17.3) == [A]


def test_what_is_in_flight_is_not_folded() -> None:
    watched = Watched(DebounceBounds(waiting=4))
    for path in ALBUM[:4]:
        watched.scan(path, 10.0)
    tickets = watched.debouncer.due(10.0, 9)
    for number in range(5, 10):
        watched.scan(b"/lib/album/%d" % number, 11.0)
    assert len(watched.debouncer) == 5
    for ticket in tickets:
        watched.debouncer.done(ticket, 12.0)
    assert watched.due(99.0) == [b"/lib/album"]


def test_a_file_whose_settling_is_watched_is_folded_last() -> None:
    watched = Watched(DebounceBounds(waiting=4))
    watched.scan(b"/lib/album/growing", 10.0)
    watched.debouncer.again(watched.take(10.0), 10.0, STAT, 5.0)
    for path in ALBUM:
        watched.scan(path, 11.0)
    assert sorted(watched.due(99.0)) == [b"/lib/album", b"/lib/album/growing"]


def test_only_so_many_folders_are_handed_out_together_and_none_is_forgotten() -> None:
    watched = Watched(DebounceBounds(folders=2))
    folders = [b"/lib/%d" % number for number in range(5)]
    for folder in folders:
        watched.kernel(folder, 10.0, is_folder=True)
    watched.scan(b"/lib/song", 10.0)
    seen: list[bytes] = []
    for now in (20.0, 21.0, 22.0, 23.0):
        tickets = watched.debouncer.due(now, 100)
        assert sum(ticket.is_folder for ticket in tickets) <= 2
        for ticket in tickets:
            seen.append(ticket.path)
            watched.debouncer.done(ticket, now)
    assert sorted(seen) == sorted([*folders, b"/lib/song"])
    assert len(watched.debouncer) == 0


def test_folders_do_not_count_as_dirty_files() -> None:
    watched = Watched()
    watched.kernel(A, 10.0, is_folder=True)
    watched.kernel(B, 10.0)
    assert (len(watched.debouncer), watched.debouncer.files()) == (2, 1)
    for ticket in watched.debouncer.due(99.0, 9):
        watched.debouncer.done(ticket, 99.0)
    assert (len(watched.debouncer), watched.debouncer.files()) == (0, 0)


@example(
    # A folder that waits again beside one path below it.
    [
        ("hint", ["a"], HintKind.CREATED),
        ("hint", ["a", "a"], HintKind.CREATED),
        ("due", [], None),
        ("due", [], None),
        ("hint", ["a"], HintKind.CREATED),
        ("again", [], None),
        ("hint", ["a"], HintKind.CREATED),
    ],
    1,
)
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("hint"),
                st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
                st.sampled_from([HintKind.CREATED, HintKind.CLOSED]),
            ),
            st.tuples(st.just("due"), st.just([]), st.none()),
            st.tuples(st.just("done"), st.just([]), st.none()),
            st.tuples(st.just("again"), st.just([]), st.none()),
        ),
        max_size=80,
    ),
    st.integers(1, 6),
)
def test_every_hint_is_answered_by_a_ticket_for_its_path_or_a_folder_above(
    steps: list[tuple[str, list[str], HintKind | None]], most: int
) -> None:
    """And until then something as old as the hint is undecided, and what was closed is owed its reading."""
    watched = Watched(DebounceBounds(waiting=most, folders=1))
    debouncer = watched.debouncer
    hints: list[tuple[float, bytes, bool]] = []
    flying: list[tuple[float, Ticket]] = []
    now = 10.0

    def answered(taken: float, ticket: Ticket) -> None:
        for each in list(hints):
            noticed, path, closed = each
            covers = path == ticket.path or (ticket.is_folder and path.startswith(ticket.path + b"/"))
            if covers and noticed <= taken and (not closed or reads(ticket, path)):
                hints.remove(each)

    def reads(ticket: Ticket, path: bytes) -> bool:
        return (path == ticket.path and ticket.closed) or debouncer.may_owe_reading(path)

    def land() -> None:
        taken, ticket = flying.pop(0)
        answered(taken, ticket)
        debouncer.done(ticket, now)

    for what, parts, kind in steps:
        now += 0.5
        if what == "hint" and kind is not None:
            path = b"/lib/" + "/".join(parts).encode()
            watched.kernel(path, now, kind)
            hints.append((now, path, kind is HintKind.CLOSED))
            assert len(debouncer) - len(flying) <= most + most // 2
        elif what == "due":
            flying.extend((now, ticket) for ticket in debouncer.due(now, 2))
        elif what == "done" and flying:
            land()
        elif what == "again" and flying:
            debouncer.again(flying.pop(0)[1], now, None, 1.0)
        if hints:
            oldest = debouncer.oldest_noticed()
            assert oldest is not None
            assert oldest <= min(noticed for noticed, _, _ in hints)
    while len(debouncer):
        now += 50.0
        flying.extend((now, ticket) for ticket in debouncer.due(now, 2))
        land()
    assert hints == []


# -- the background ----------------------------------------------------------------------------------------


def test_a_background_look_does_not_put_off_one_that_is_due_earlier() -> None:
    watched = Watched()
    watched.scan(A, 10.0, delay=1.0)
    watched.scan(A, 10.5, Source.RECHECK, delay=30.0, background=True)
    assert watched.due(11.0) == [A]


def test_a_background_look_at_what_is_in_flight_comes_afterwards_and_leaves_it_clean() -> None:
    watched = Watched()
    watched.scan(A, 10.0)
    ticket = watched.take(10.0)
    watched.scan(A, 10.0, Source.RECHECK, delay=5.0, background=True, must_hash=True)
    watched.debouncer.done(ticket, 11.0)
    assert len(watched.debouncer) == 0, "nobody needs to wait for it"
    assert watched.due(14.9) == []
    assert watched.take(15.0).must_hash


def test_what_finds_no_room_in_the_background_is_left_to_a_sweep() -> None:
    watched = Watched(DebounceBounds(background=2))
    for path in (A, B, C):
        watched.scan(path, 10.0, Source.RECHECK, background=True)
    assert watched.debouncer.background_room() == 0
    assert not watched.debouncer.may_sweep()
    assert watched.debouncer.take_unrested() == {LIBRARY}
    assert watched.debouncer.take_unrested() == set()
    assert watched.due(10.0) == [A, B]
    assert watched.debouncer.may_sweep()


def test_a_known_path_needs_no_room_in_the_background() -> None:
    watched = Watched(DebounceBounds(background=1))
    for delay in (9.0, 5.0, 7.0):
        watched.scan(A, 10.0, Source.RECHECK, delay=delay, background=True)
    assert watched.debouncer.take_unrested() == set()
    assert watched.due(15.0) == [A]


def test_few_background_looks_are_in_flight_together_so_that_fresh_changes_come_through() -> None:
    watched = Watched()
    for number in range(40):
        watched.scan(b"/lib/%d" % number, 10.0, Source.RECHECK, background=True)
    tickets: list[Ticket] = []
    while new := watched.debouncer.due(10.0, 100):
        tickets += new
    assert len(tickets) == 16
    assert watched.debouncer.next_due() is None, "nobody waits in a busy loop"
    watched.kernel(A, 10.0)
    assert watched.due(11.0) == [A]
    watched.debouncer.done(tickets[0], 11.0)
    assert watched.debouncer.next_due() == 10.0
    assert len(watched.debouncer.due(11.0, 100)) == 1


# -- each library by its own timing --------------------------------------------------------------------


SLOW = Library(2, "slow", "staging", b"/slow")


def test_each_library_has_a_window_and_a_longest_wait_of_its_own() -> None:
    timings = {LIBRARY.id: DebounceTiming(1.0, 30.0), SLOW.id: DebounceTiming(5.0, 8.0)}
    debouncer = Debouncer(lambda library: timings[library.id])
    for now in (0.0, 4.0, 7.0):
        debouncer.hint(Hint(b"/slow/a", HintKind.CLOSED), SLOW, now, 0)
    debouncer.hint(Hint(A, HintKind.CLOSED), LIBRARY, 0.0, 0)
    assert [ticket.path for ticket in debouncer.due(1.0, 10)] == [A]
    assert debouncer.due(7.9, 10) == []
    assert [ticket.path for ticket in debouncer.due(8.0, 10)] == [b"/slow/a"]


def test_another_window_holds_for_hints_from_then_on_and_what_waits_keeps_its_time() -> None:
    timing = DebounceTiming(10.0)
    debouncer = Debouncer(lambda _: timing)
    for path in (A, B):
        debouncer.hint(Hint(path, HintKind.CLOSED), LIBRARY, 0.0, 0)
    timing = DebounceTiming(1.0)
    debouncer.hint(Hint(B, HintKind.CLOSED), LIBRARY, 2.0, 0)
    debouncer.hint(Hint(C, HintKind.CLOSED), LIBRARY, 2.0, 0)
    assert {ticket.path for ticket in debouncer.due(3.0, 10)} == {B, C}
    assert debouncer.due(9.9, 10) == []
    assert [ticket.path for ticket in debouncer.due(10.0, 10)] == [A]


def test_a_folder_that_stands_for_others_waits_by_the_timing_of_its_library() -> None:
    debouncer = Debouncer(lambda _: DebounceTiming(7.0), bounds=DebounceBounds(waiting=4))
    for number in range(8):
        debouncer.hint(Hint(b"/slow/f/%d" % number, HintKind.CLOSED), SLOW, 0.0, 0)
    assert debouncer.due(6.9, 10) == []
    assert b"/slow/f" in {ticket.path for ticket in debouncer.due(7.0, 10)}


def test_another_bound_holds_from_the_next_hint_on() -> None:
    debouncer = Debouncer(lambda _: DebounceTiming(WINDOW))
    for number in range(20):
        debouncer.hint(Hint(b"/lib/f/%d" % number, HintKind.CLOSED), LIBRARY, 0.0, 0)
    assert debouncer.folded == 0
    debouncer.resize(DebounceBounds(waiting=10))
    debouncer.hint(Hint(b"/lib/f/20", HintKind.CLOSED), LIBRARY, 0.0, 0)
    assert debouncer.folded == 21
    assert [ticket.path for ticket in debouncer.due(WINDOW, 100)] == [b"/lib/f"]


def test_a_buffer_that_is_large_lets_more_paths_wait() -> None:
    assert DebounceBounds.beside(1024).waiting == 50_000
    assert DebounceBounds.beside(10_000).waiting == 160_000


# -- what goes first -----------------------------------------------------------------------------------


WINDOW = 1.0


def with_priority(bounds: DebounceBounds | None = None) -> Debouncer:
    return Debouncer(
        lambda _: DebounceTiming(WINDOW), bounds=bounds, goes_first=lambda path, _: path.endswith(b".first")
    )


def test_what_goes_first_is_handed_out_before_a_thousand_others_that_keep_a_share() -> None:
    debouncer = with_priority()
    for number in range(1000):
        debouncer.hint(Hint(b"/lib/%d" % number, HintKind.SCANNED, source=Source.SCAN), LIBRARY, 0.0, 0)
    for number in range(20):
        debouncer.hint(Hint(b"/lib/%d.first" % number, HintKind.CLOSED), LIBRARY, 0.0, 0)
    tickets = debouncer.due(WINDOW, 16)
    assert [ticket.is_first for ticket in tickets] == [True] * 12 + [False] * 4
    assert [ticket.is_first for ticket in debouncer.due_first(WINDOW, 64)] == [True] * 8
    assert debouncer.due_first(WINDOW, 64) == []
    assert len(debouncer.due(WINDOW, 2000)) == 996
    assert debouncer.next_due() is None


def test_a_steady_stream_of_what_goes_first_does_not_starve_the_others() -> None:
    debouncer = with_priority()
    for number in range(160):
        debouncer.hint(Hint(b"/lib/%d" % number, HintKind.CLOSED), LIBRARY, 0.0, 0)
    rounds = 0
    while len(debouncer):
        rounds += 1
        for number in range(32):  # more than are handed out in a round
            debouncer.hint(
                Hint(b"/lib/%d.first" % number, HintKind.SCANNED, source=Source.SCAN), LIBRARY, 9.0, 0
            )
        tickets = debouncer.due(9.0, 16)
        assert sum(not ticket.is_first for ticket in tickets) == 4
        for ticket in tickets:
            debouncer.done(ticket, 9.0)
        if rounds == 40:
            break
    assert not any(not entry.is_first for entry in debouncer._dirty), "the others are through"


def test_what_goes_first_is_waited_for_like_others_and_still_goes_first_when_it_comes_again() -> None:
    debouncer = with_priority()
    debouncer.hint(Hint(b"/lib/a.first", HintKind.CLOSED), LIBRARY, 0.0, 0)
    assert debouncer.due(WINDOW / 2, 10) == []
    (ticket,) = debouncer.due_first(WINDOW, 10)
    debouncer.again(ticket, WINDOW, None, 1.0)
    assert debouncer.next_due() == WINDOW + 1.0
    (ticket,) = debouncer.due(WINDOW + 1.0, 10)
    assert ticket.is_first


def test_folding_loses_nothing_that_goes_first() -> None:
    debouncer = with_priority(DebounceBounds(waiting=8, background=10, folders=4))
    paths = [b"/lib/%d/%d" % (number % 2, number) for number in range(40)]
    for path in [*paths, b"/lib/a.first"]:
        debouncer.hint(Hint(path, HintKind.CLOSED), LIBRARY, 0.0, 0)
    handed_out = {ticket.path for ticket in debouncer.due(100.0, 100)}
    above = {b"/lib/a.first", b"/lib"}
    assert handed_out & above


# -- what rests ----------------------------------------------------------------------------------------


def test_what_rests_is_not_dirty_and_keeps_what_was_seen_and_told() -> None:
    debouncer = Debouncer(lambda _: DebounceTiming(WINDOW))
    stat = FileStat(3, 1, 1, 7, 100)
    debouncer.hint(Hint(b"/lib/a", HintKind.CREATED), LIBRARY, 0.0, 0)
    (ticket,) = debouncer.due(WINDOW, 1)
    debouncer.done(ticket, 2.0, look_again_after=5.0, growing=True, stat=stat)
    assert len(debouncer) == 0
    (ticket,) = debouncer.due(7.0, 1)
    assert (ticket.told_growing, ticket.last_stat, ticket.still_since) == (2.0, stat, 2.0)
    debouncer.done(ticket, 7.0, look_again_after=5.0, stat=stat._replace(ctime_ns=9))
    (ticket,) = debouncer.due(12.0, 1)
    assert (ticket.told_growing, ticket.still_since) == (2.0, 2.0)


def test_what_finds_no_room_to_rest_is_left_to_a_sweep() -> None:
    debouncer = Debouncer(lambda _: DebounceTiming(WINDOW), bounds=DebounceBounds(background=1))
    for path in (b"/lib/a", b"/lib/b"):
        debouncer.hint(Hint(path, HintKind.CREATED), LIBRARY, 0.0, 0)
    for ticket in debouncer.due(WINDOW, 2):
        debouncer.done(ticket, 2.0, look_again_after=5.0)
    assert debouncer.take_unrested() == {LIBRARY}
