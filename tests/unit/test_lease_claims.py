"""Which free library an instance takes when."""

from __future__ import annotations

from collections.abc import Collection

from file_watcher.catalog.leases import LeaseRow
from file_watcher.lease_claims import Candidate, ClaimRules, Claims

RULES = ClaimRules(for_each_held=0.1, at_most=0.3, unseen=5.0)


def library(number: int, instance: str | None = None, *, is_named: bool = False) -> Candidate:
    return Candidate(number, b"/root/%d" % number, instance, is_named)


def row(number: int, who: str, seconds_left: float) -> LeaseRow:
    return LeaseRow(number, who, 7, seconds_left)


def due(
    claims: Claims,
    candidates: list[Candidate],
    now: float,
    rows: Collection[LeaseRow] = (),
    held: int = 0,
    seen: Collection[bytes] | None = None,
) -> tuple[list[int], float | None]:
    """The numbers of those that are taken now, and when the next one is."""
    free = claims.free(candidates, {each.library_id: each for each in rows}, now)
    roots = {each.root for each in candidates} if seen is None else seen
    taken, wait = claims.due(free, held, roots, now)
    return [each.library_id for each in taken], wait if wait is None else round(wait, 6)


def test_what_a_rule_gives_to_another_instance_is_no_candidate() -> None:
    candidates = [library(1), library(2, "me"), library(3, "other", is_named=True)]

    assert [each.library_id for each in Claims("me", RULES).may_take(candidates)] == [1, 2]


def test_what_somebody_holds_is_left_until_it_is_over() -> None:
    claims = Claims("me", RULES)

    assert due(claims, [library(1)], 0.0, [row(1, "other", 0.5)]) == ([], None)
    assert due(claims, [library(1)], 1.0, [row(1, "other", -0.5)]) == ([1], None)


def test_what_an_earlier_process_of_our_name_held_is_ours_at_once() -> None:
    assert due(Claims("me", RULES), [library(1)], 0.0, [row(1, "me", 9.0)]) == ([1], None)


def test_whoever_has_much_already_leaves_what_becomes_free_to_others_for_a_moment() -> None:
    claims = Claims("me", RULES)
    candidates = [library(number) for number in range(1, 5)]

    assert due(claims, candidates, 10.0) == ([1], 0.1)
    assert due(claims, candidates[1:], 10.1, held=1) == ([2], 0.1)
    assert due(claims, candidates[2:], 10.1, held=50) == ([], 0.2), "never longer than `at_most`"
    assert due(claims, candidates[2:], 10.3, held=50) == ([3, 4], None)


def test_what_was_taken_by_others_in_between_is_waited_for_anew() -> None:
    claims = Claims("me", RULES)
    assert due(claims, [library(1)], 0.0, held=1) == ([], 0.1)
    assert due(claims, [library(1)], 0.05, [row(1, "other", 9.0)], held=1) == ([], None)

    assert due(claims, [library(1)], 60.0, held=1) == ([], 0.1)


def test_a_root_that_is_not_there_is_left_to_who_may_see_it_but_not_for_ever() -> None:
    claims = Claims("me", RULES)

    assert due(claims, [library(1)], 0.0, seen=()) == ([], 5.0)
    assert due(claims, [library(1)], 5.0, seen=()) == ([1], None)


def test_what_names_us_is_taken_at_once_wherever_its_root_is_and_before_others() -> None:
    candidates = [library(1), library(2, "me"), library(3, is_named=True)]

    assert due(Claims("me", RULES), candidates, 0.0, held=9, seen=()) == ([2, 3], 5.3)
