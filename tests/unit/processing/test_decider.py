"""The decider: what it keeps, for how long, and what it commits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import FileEvent, FileRecord, FileStat, Library, Observation, Source, Undecided
from file_watcher.processing.decider import Decider, DeciderConfig, Outcome
from file_watcher.processing.view import RowChanges
from tests.support.pipeline import StepClock, check_all_accounted_for
from tests.support.scene import Scene, paths, told
from tests.support.world import LIBRARY, MemoryLedger, fingerprint_of

A, B, C, D = b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/d"
NOW = 1000.0
MOVE_WINDOW = 2.0
PATIENCE = 30.0


class Desk(Scene):
    """A decider over a ledger that holds the known rows."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = MemoryLedger()
        self.oldest_undecided: float | None = None
        """Hints from after this time are decided."""
        self.under_way: list[tuple[float, FileStat]] = []
        """But for these files, which are being read."""
        self.decider = Decider(
            DeciderConfig(MOVE_WINDOW, PATIENCE),
            self.ledger,
            self.world,
            StepClock(self.world),
            lambda now: Undecided(self.oldest_undecided, tuple(self.under_way)),
        )

    def know_as_is(self, path: bytes, **fields: object) -> FileRecord:
        row = super().know_as_is(path, **fields)
        self.ledger.rows[path] = row
        return row

    def step(self, *seen: Observation, after: float = 0.0) -> Outcome:
        """One step, so many seconds after the beginning."""
        outcome = self.decider.step(seen, NOW + after)
        check_all_accounted_for(seen, outcome.decision)
        return outcome

    def tell(self, *seen: Observation, after: float = 0.0) -> list[object]:
        """The gist of what a step tells."""
        return [*told(self.step(*seen, after=after).decision.events)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- commits -------------------------------------------------------------------------------------------


def test_rows_and_events_are_committed_together(desk: Desk) -> None:
    desk.world.write(A, b"one")
    outcome = desk.step(desk.see(A))
    assert desk.ledger.events == outcome.decision.events
    assert told(desk.ledger.events) == [("created", A)]
    assert desk.ledger.rows[A].fingerprint == fingerprint_of(b"one")


def test_a_refreshed_row_is_committed_although_nothing_is_told(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.touch(A)
    assert desk.tell(desk.see(A)) == []
    assert desk.ledger.rows[A].stat == desk.stat(A)


def test_what_changes_nothing_is_not_committed(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.ledger.next_commit = desk.ledger.undone
    desk.step(desk.see(A))
    desk.step()
    assert desk.ledger.next_commit is not None, "nobody came"


def test_a_step_with_nothing_to_decide_asks_nobody(desk: Desk) -> None:
    desk.ledger.is_away = True
    assert desk.decider.step([], NOW) == Outcome()
    assert Outcome().missed == 0


def test_a_commit_that_failed_may_be_taken_again(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.rename(A, B)
    seen = [desk.see(A), desk.see(B, A)]
    desk.ledger.next_commit = desk.ledger.undone
    with pytest.raises(CatalogUnavailable):
        desk.decider.step(seen, NOW)
    assert len(desk.decider) == 0
    assert desk.ledger.events == []
    assert desk.tell(*seen, after=1.0) == [("renamed", B, A)]


def test_a_file_that_moved_on_before_it_was_seen_and_was_then_written_has_moved(desk: Desk) -> None:
    """As one that is put into a folder which is renamed at once: the two moves are told apart from each other."""
    desk.know(A, b"one")
    desk.world.rename(A, B)
    desk.world.rename(B, C)
    desk.world.write(C, b"other")
    assert desk.tell(desk.see(A), desk.see(B, A)) == []
    assert desk.tell(desk.see(C, B), after=1.5) == [("renamed", C, A), ("modified", C)]
    assert desk.ledger.rows[C].fingerprint == fingerprint_of(b"other")


def test_a_commit_of_unknown_fate_may_be_taken_again(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(C, b"two")
    desk.world.rename(A, B)
    desk.world.write(C, b"three")
    seen = [desk.see(A), desk.see(B, A), desk.see(C)]
    desk.ledger.next_commit = desk.ledger.unknown
    with pytest.raises(CatalogUnavailable):
        desk.decider.step(seen, NOW)
    outcome = desk.step(*seen, after=1.0)
    assert outcome.decision.events == []
    assert paths(outcome.decision.settled) == [A, B, C]
    assert sorted(told(desk.ledger.events)) == [("modified", C), ("renamed", B, A)]


def test_a_failed_commit_forgets_nothing_that_was_held(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.ledger.next_commit = desk.ledger.undone
    with pytest.raises(CatalogUnavailable):
        desk.decider.step([], NOW + 2.0)
    assert len(desk.decider) == 1
    assert desk.tell(after=3.0) == [("deleted", A)]


# -- waiting for a move --------------------------------------------------------------------------------


def test_a_file_that_is_gone_waits_for_the_move_window_and_is_then_deleted(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    seen = replace(desk.see(A), noticed=990.0)
    outcome = desk.step(seen)
    assert outcome.held == [seen]
    assert desk.decider.next_deadline() == NOW + MOVE_WINDOW
    assert desk.decider.oldest_noticed() == 990.0
    assert desk.tell(after=1.99) == []
    assert len(desk.decider) == 1
    assert desk.tell(after=2.0) == [("deleted", A)]
    assert len(desk.decider) == 0
    assert (desk.decider.next_deadline(), desk.decider.oldest_noticed()) == (None, None)


def test_of_several_held_the_oldest_counts(desk: Desk) -> None:
    for path, noticed, after in ((A, 990.5, 0.0), (B, 990.0, 0.5), (C, 991.0, 1.0)):
        desk.know(path, path)
        desk.world.delete(path)
        desk.step(replace(desk.see(path), noticed=noticed), after=after)
    assert desk.decider.next_deadline() == NOW + 2.0
    assert desk.decider.oldest_noticed() == 990.0


def test_what_is_kept_on_is_not_reported_as_newly_held(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(B, b"two")
    desk.world.rename(A, B)
    desk.step(desk.see(A), desk.see(B, A))
    outcome = desk.step(after=1.0)
    assert (outcome.held, len(desk.decider)) == ([], 2)


def test_a_file_that_is_gone_waits_longer_while_earlier_hints_are_undecided(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.oldest_undecided = NOW
    assert desk.tell(after=10 * PATIENCE - 0.1) == []
    assert desk.tell(after=10 * PATIENCE) == [("deleted", A)], "what hangs is not waited for"


def test_a_file_that_is_gone_waits_no_longer_for_hints_that_came_after_it(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.oldest_undecided = NOW + 0.1
    assert desk.tell(after=2.0) == [("deleted", A)]


OTHER = FileStat(1 << 40, 1, 1, 7, 4_711)
"""Of a file that takes long to read."""


def test_a_file_that_is_gone_does_not_wait_for_a_long_reading_of_a_file_that_it_cannot_be(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.under_way = [(NOW - 5.0, OTHER)]
    assert desk.tell(after=MOVE_WINDOW) == [("deleted", A)]


@pytest.mark.parametrize("what", ["inode", "size"])
def test_a_file_that_is_gone_waits_for_a_long_reading_of_a_file_that_it_may_be(desk: Desk, what: str) -> None:
    """Of its size its content may be, too; with its inode the reading may tell that it was written to."""
    row = desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.under_way = [(NOW, OTHER._replace(**{what: getattr(row.stat, what)}))]
    assert desk.tell(after=10 * PATIENCE - 0.1) == []
    assert desk.tell(after=10 * PATIENCE) == [("deleted", A)], "what hangs is not waited for"


def test_a_copy_that_takes_long_to_read_still_claims_what_was_deleted_behind_it(desk: Desk) -> None:
    row = desk.know(A, b"one")
    desk.world.write(B, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.under_way = [(NOW - 5.0, OTHER._replace(size=row.stat.size))]
    assert desk.tell(after=20.0) == []
    desk.under_way = []
    assert desk.tell(desk.see(B), after=21.0) == [("renamed", B, A)]


def test_a_long_reading_that_began_later_is_not_waited_for(desk: Desk) -> None:
    row = desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.under_way = [(NOW + 0.1, row.stat)]
    assert desk.tell(after=MOVE_WINDOW) == [("deleted", A)]


def test_a_move_onto_a_known_file_waits_for_readings_only_where_that_one_may_be_among_them(
    desk: Desk,
) -> None:
    desk.know(A, b"one")
    row = desk.know(B, b"two!")
    desk.world.rename(A, B)
    desk.under_way = [(NOW - 5.0, OTHER._replace(size=row.stat.size))]
    desk.step(desk.see(A), desk.see(B, A))
    assert desk.tell(after=20.0) == []
    desk.under_way = [(NOW - 5.0, OTHER)]
    assert desk.tell(after=21.0) == [("deleted", B), ("renamed", B, A)]


def test_while_very_many_are_held_none_waits_longer_than_the_window(desk: Desk) -> None:
    decider = Decider(
        DeciderConfig(MOVE_WINDOW, PATIENCE, most_held=1),
        desk.ledger,
        desk.world,
        StepClock(desk.world),
        lambda now: Undecided(0.0, ((0.0, OTHER),)),
    )
    for path in (A, B):
        desk.know(path, path)
        desk.world.delete(path)
    decider.step([desk.see(A)], NOW)
    assert decider.step([], NOW + MOVE_WINDOW).decision.events == [], "one of them has all the time it needs"
    decider.step([desk.see(B)], NOW + 1.0)
    assert told(decider.step([], NOW + MOVE_WINDOW).decision.events) == [("deleted", A)]
    assert decider.step([], NOW + 1.0 + MOVE_WINDOW).decision.events == []


def test_patience_is_never_shorter_than_the_move_window(desk: Desk) -> None:
    decider = Decider(
        DeciderConfig(move_window=5.0, patience=0.1),
        desk.ledger,
        desk.world,
        StepClock(desk.world),
        lambda now: Undecided(0.0, ((0.0, OTHER),)),
    )
    desk.know(A, b"one")
    desk.world.delete(A)
    decider.step([desk.see(A)], NOW)
    assert decider.step([], NOW + 4.9).decision.events == []
    assert told(decider.step([], NOW + 5.0).decision.events) == [("deleted", A)]


def test_a_held_absence_is_not_looked_at_before_its_time(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.world.hidden.add(A)
    assert desk.step(after=1.0).decision.unknown == []
    assert len(desk.decider) == 1


def test_a_second_sight_of_the_same_absence_does_not_prolong_it(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.step(desk.see(A), after=1.5)
    assert desk.tell(after=2.0) == [("deleted", A)]


def test_a_file_that_vanishes_again_waits_anew(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(B, b"two")
    desk.world.rename(A, B)
    desk.step(desk.see(B, A))
    desk.world.delete(B)
    desk.step(desk.see(B), after=1.5)
    assert desk.tell(after=2.0) == []
    assert desk.tell(after=3.5) == [("deleted", B)]


def test_a_held_absence_is_forgotten_when_its_file_moved(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.rename(A, B)
    desk.step(desk.see(A))
    outcome = desk.step(desk.see(B, A), after=1.0)
    assert told(outcome.decision.events) == [("renamed", B, A)]
    assert paths(outcome.decision.settled) == [A, B]
    assert len(desk.decider) == 0


def test_a_held_absence_is_forgotten_when_the_file_is_back(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.world.write(A, b"two")
    assert desk.tell(desk.see(A), after=1.0) == [("modified", A)]
    assert len(desk.decider) == 0


def test_a_file_that_was_closed_before_it_moved_is_read_where_it_is_now(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.rename(A, B)
    desk.step(desk.see(A, owed=True))
    desk.step(desk.see(A), after=0.1)
    moved = desk.see(B, A, read=False)
    outcome = desk.step(moved, after=0.2)
    assert (outcome.decision.events, outcome.decision.again) == ([], [(moved, True)])
    assert desk.tell(desk.see(B, A), after=0.3) == [("renamed", B, A)]


def test_a_file_that_is_found_gone_with_its_new_place_is_read_there_too(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.rename(A, B)
    moved = desk.see(B, A, read=False)
    assert desk.step(desk.see(A, owed=True), moved).decision.again == [(moved, True)]


def test_what_changed_since_it_was_read_is_still_owed_its_reading(desk: Desk) -> None:
    desk.know(A, b"one")
    seen = desk.see(A, owed=True)
    desk.world.rename(A, B)
    assert desk.step(seen).decision.again == [(seen, True)]


def test_an_absence_that_proves_wrong_when_its_time_is_up_is_looked_at_again(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.world.write(A, b"two")
    outcome = desk.step(after=2.0)
    assert [(seen.path, must_hash) for seen, must_hash in outcome.decision.again] == [(A, False)]
    assert len(desk.decider) == 0


def test_an_absence_that_cannot_be_told_any_more_is_handed_back(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.world.hidden.add(A)
    assert paths(desk.step(after=2.0).decision.unknown) == [A]
    assert len(desk.decider) == 0


def test_a_move_onto_a_known_file_waits_for_where_that_one_went(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(B, b"two")
    desk.world.rename(B, C)
    desk.world.rename(A, B)
    assert desk.tell(desk.see(A), desk.see(B, A)) == []
    assert desk.tell(desk.see(C, B), after=1.0) == [("renamed", C, B), ("renamed", B, A)]
    assert len(desk.decider) == 0


def test_a_move_onto_a_known_file_that_went_nowhere_is_told_after_the_move_window(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(B, b"two")
    desk.world.rename(A, B)
    desk.step(desk.see(A), desk.see(B, A))
    assert desk.tell(after=1.9) == []
    assert desk.tell(after=2.0) == [("deleted", B), ("renamed", B, A)]


def test_a_move_onto_a_known_file_waits_while_that_one_may_be_among_what_is_undecided(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.know(B, b"two")
    desk.world.rename(B, C)
    desk.world.rename(A, B)
    desk.step(desk.see(A), desk.see(B, A))
    desk.oldest_undecided = NOW
    assert desk.tell(after=20.0) == []
    assert desk.tell(desk.see(C, B), after=21.0) == [("renamed", C, B), ("renamed", B, A)]


def test_the_tail_of_a_long_chain_may_come_last(desk: Desk) -> None:
    names = [b"/lib/%d" % number for number in range(6)]
    for name in names[:-1]:
        desk.know(name, b"content of " + name)
    for old, new in reversed(list(itertools.pairwise(names))):
        desk.world.rename(old, new)
    for old, new in list(itertools.pairwise(names))[:-1]:
        assert desk.tell(desk.see(new, old)) == []
    assert desk.tell(desk.see(names[-1], names[-2]), after=1.0) == [
        ("renamed", new, old) for old, new in reversed(list(itertools.pairwise(names)))
    ]


# -- what cannot be there any more ---------------------------------------------------------------------


def test_a_file_that_became_a_folder_is_deleted_at_once_without_its_own_hint(desk: Desk) -> None:
    desk.know(D, b"one")
    desk.world.delete(D)
    desk.world.write(b"/lib/d/e/x", b"two")
    assert desk.tell(desk.see(b"/lib/d/e/x")) == [("deleted", D), ("created", b"/lib/d/e/x")]


def test_what_was_below_a_new_file_is_deleted_at_once_without_its_own_hint(desk: Desk) -> None:
    desk.know(b"/lib/d/x", b"one")
    desk.know(b"/lib/d/e/z", b"two")
    desk.know(b"/lib/dd", b"stays")
    desk.world.delete(b"/lib/d/x")
    desk.world.delete(b"/lib/d/e/z")
    desk.world.write(D, b"three")
    assert desk.tell(desk.see(D)) == [("deleted", b"/lib/d/e/z"), ("deleted", b"/lib/d/x"), ("created", D)]


def test_what_was_below_a_new_file_and_moved_is_moved_first(desk: Desk) -> None:
    desk.know(b"/lib/d/x", b"one")
    desk.world.rename(b"/lib/d/x", A)
    desk.world.write(D, b"three")
    assert desk.tell(desk.see(D), desk.see(A, b"/lib/d/x")) == [("moved", A, b"/lib/d/x"), ("created", D)]


def test_a_blocker_that_was_seen_too_is_told_once(desk: Desk) -> None:
    desk.know(D, b"one")
    desk.world.delete(D)
    desk.world.write(b"/lib/d/x", b"two")
    assert desk.tell(desk.see(D), desk.see(b"/lib/d/x")) == [("deleted", D), ("created", b"/lib/d/x")]


def test_a_blocker_that_was_seen_there_before_ends_once(desk: Desk) -> None:
    desk.know(D, b"one")
    seen = desk.see(D)
    desk.world.delete(D)
    desk.world.write(b"/lib/d/x", b"two")
    assert desk.tell(seen, desk.see(b"/lib/d/x")) == [("deleted", D), ("created", b"/lib/d/x")]


def test_a_blocker_that_cannot_be_told_holds_back_what_is_below_it(desk: Desk) -> None:
    desk.know(b"/lib/d/x", b"one")
    desk.world.delete(b"/lib/d/x")
    desk.world.write(D, b"two")
    desk.world.hidden.add(b"/lib/d/x")
    for outcome in (desk.step(desk.see(D)), desk.step(after=99.0)):
        assert (outcome.decision.events, outcome.decision.unknown) == ([], [])
    desk.world.hidden.clear()
    assert desk.tell(after=100.0) == [("deleted", b"/lib/d/x"), ("created", D)]


# -- libraries that are not verified -------------------------------------------------------------------


def test_nothing_of_an_unverified_library_is_decided_or_remembered(desk: Desk) -> None:
    """It is scanned when it is back."""
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.world.write(B, b"two")
    desk.world.verified = False
    outcome = desk.step(desk.see(A), desk.see(B))
    assert outcome.decision.events == []
    assert paths(outcome.decision.settled) == [A, B]
    assert len(desk.decider) == 0


def test_a_held_absence_in_a_library_that_is_lost_is_dropped(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    desk.world.verified = False
    assert desk.tell(after=99.0) == []
    assert len(desk.decider) == 0


def test_a_library_that_is_lost_while_it_is_decided_tells_nothing(desk: Desk) -> None:
    """The look said gone because the disk was being taken away: the root is verified after, too."""
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.step(desk.see(A))
    answers = iter([True, False])
    desk.world.is_verified = lambda library: next(answers)  # type: ignore[method-assign]
    outcome = desk.step(after=2.0)
    assert desk.ledger.events == []
    assert paths(outcome.decision.unknown) == [A]
    assert len(desk.decider) == 0


def test_a_lost_library_does_not_hold_up_another(desk: Desk) -> None:
    other = Library(2, "other", "test", b"/other")
    desk.world.write(A, b"one")
    desk.world.write(B, b"two")
    desk.world.is_verified = lambda library: library is not other  # type: ignore[method-assign]
    assert desk.tell(desk.see(A), replace(desk.see(B), library=other)) == [("created", A)]


# -- what is loaded ------------------------------------------------------------------------------------


def test_an_absence_loads_its_own_row_and_no_more(desk: Desk) -> None:
    asked: list[tuple[set[bytes], set[int], set[tuple[int, bytes]]]] = []

    class Asked(MemoryLedger):
        def load(
            self, paths: Iterable[bytes], inodes: Iterable[int], contents: Iterable[tuple[int, bytes]]
        ) -> list[FileRecord]:
            asked.append((set(paths), set(inodes), set(contents)))
            return super().load(paths, inodes, contents)

    decider = Decider(DeciderConfig(), Asked(), desk.world, StepClock(desk.world), lambda now: Undecided())
    decider.step([desk.see(b"/lib/d/x")], NOW)
    desk.world.write(A, b"one")
    decider.step([desk.see(A)], NOW)
    desk.world.write(B, b"")
    decider.step([desk.see(B)], NOW)
    assert asked == [
        ({b"/lib/d/x"}, set(), set()),
        ({A, b"/lib"}, {desk.stat(A).inode}, {(3, fingerprint_of(b"one").sha256)}),
        ({B, b"/lib"}, {desk.stat(B).inode}, set()),
    ]


def test_rows_below_are_asked_for_only_where_a_new_file_stands(desk: Desk) -> None:
    asked: list[set[bytes]] = []

    class Asked(MemoryLedger):
        def records_below(self, paths: Iterable[bytes]) -> dict[bytes, list[FileRecord]]:
            asked.append(set(paths := list(paths)))
            return super().records_below(paths)

    ledger = Asked()
    decider = Decider(DeciderConfig(), ledger, desk.world, StepClock(desk.world), lambda now: Undecided())
    ledger.rows[A] = desk.know(A, b"one")
    desk.world.write(B, b"two")
    decider.step([desk.see(A), desk.see(B), desk.see(C)], NOW)
    assert asked == [{B}]


def test_a_row_that_was_told_in_the_step_before_is_seen_by_the_next(desk: Desk) -> None:
    desk.world.write(A, b"one")
    desk.step(desk.see(A))
    desk.world.rename(A, B)
    assert desk.tell(desk.see(A), desk.see(B, A)) == [("renamed", B, A)]
    assert [event.version for event in desk.ledger.events] == [1, 2]


def test_the_decider_passes_on_what_the_filters_no_longer_want(desk: Desk) -> None:
    desk.know(A, b"one")
    desk.world.delete(A)
    desk.world.is_unmatched = lambda path: path == A  # type: ignore[method-assign]
    desk.step(desk.see(A))
    assert desk.step(after=2.0).decision.events[0].reason == "unmatched"


def test_how_coarse_timestamps_are_decides_what_is_racy(desk: Desk) -> None:
    desk.world.write(A, b"one")
    coarse: dict[int, int] = {}
    for granularity_ns, racy in ((20_000_000, False), (2_000_000_000, True)):
        coarse[LIBRARY.id] = granularity_ns
        ledger = MemoryLedger()
        decider = Decider(
            DeciderConfig(granularity_of=lambda library: coarse[library.id]),
            ledger,
            desk.world,
            StepClock(desk.world),
            lambda now: Undecided(),
        )
        decider.step([desk.see(A)], NOW)
        assert ledger.rows[A].racy is racy


# -- counting ------------------------------------------------------------------------------------------


def test_changes_that_only_a_periodic_rescan_found_are_counted_as_missed(desk: Desk) -> None:
    desk.know(C, b"three")
    desk.world.write(A, b"one")
    desk.world.write(B, b"two")
    desk.world.write(D, b"four")
    seen = [
        desk.see(A, source=Source.RESCAN),
        desk.see(B),
        desk.see(C, source=Source.RESCAN),
        desk.see(D, source=Source.RESCAN),
    ]
    assert desk.step(*seen).missed == 2


def test_a_ledger_gets_each_batch_in_one_call(desk: Desk) -> None:
    batches: list[int] = []

    class Counting(MemoryLedger):
        def record(self, rows: RowChanges, events: Sequence[FileEvent]) -> None:
            batches.append(len(events))
            super().record(rows, events)

    decider = Decider(DeciderConfig(), Counting(), desk.world, StepClock(desk.world), lambda now: Undecided())
    for path in (A, B, C):
        desk.world.write(path, path)
    decider.step([desk.see(path) for path in (A, B, C)], NOW)
    assert batches == [3]
