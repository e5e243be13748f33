"""Which free library an instance takes when; pure: takes the time as an argument, and owns no thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from file_watcher.catalog.leases import LeaseRow


@dataclass(frozen=True, slots=True)
class Candidate:
    """A library that this instance would watch.

    `instance` is the rule of that name: nobody but that instance may watch it. `is_named`: our own options,
    environment or file name it.
    """

    library_id: int
    root: bytes
    instance: str | None = None
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Seconds that a library without an owner is left to others at first.

    `for_each_held` for each library that we have already, `at_most` altogether, so that a fleet shares what becomes
    free at once; `unseen` where its root is not there on this host, as somebody else may see it.
    """

    for_each_held: float = 0.05
    at_most: float = 0.5
    unseen: float = 5.0


class Claims:
    """Which free libraries to take when. Not thread-safe; takes the time as an argument."""

    def __init__(self, instance_id: str, rules: ClaimRules | None = None) -> None:
        self._instance_id = instance_id
        self._rules = rules or ClaimRules()
        self._free_since: dict[int, float] = {}

    def may_take(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Without those that a rule reserves for another instance."""
        return [each for each in candidates if each.instance in (None, self._instance_id)]

    def free(
        self, candidates: Sequence[Candidate], rows: Mapping[int, LeaseRow], now: float
    ) -> list[Candidate]:
        """Those that nobody holds, or that an earlier process of our name held; remembers since when."""
        found = [each for each in candidates if self._is_free(rows.get(each.library_id))]
        self._free_since = {each.library_id: self._free_since.get(each.library_id, now) for each in found}
        return found

    def is_prompt(self, candidate: Candidate) -> bool:
        """Whether it is taken as soon as it is free, wherever its root is."""
        return candidate.is_named or candidate.instance is not None

    def due(
        self, free: Sequence[Candidate], held: int, seen: Collection[bytes], now: float
    ) -> tuple[list[Candidate], float | None]:
        """Those of `free` whose time has come, where we hold so many already and see these roots; and in how
        many seconds the next one's comes."""
        taken: list[Candidate] = []
        waits: list[float] = []
        for each in sorted(free, key=lambda one: not self.is_prompt(one)):
            wait = self._free_since[each.library_id] + self._delay(each, held + len(taken), seen) - now
            if wait <= 0:
                taken.append(each)
            else:
                waits.append(wait)
        return taken, min(waits, default=None)

    def _is_free(self, row: LeaseRow | None) -> bool:
        return row is None or row.seconds_left <= 0 or row.instance_id == self._instance_id

    def _delay(self, candidate: Candidate, held: int, seen: Collection[bytes]) -> float:
        if self.is_prompt(candidate):
            return 0.0
        shared = min(self._rules.for_each_held * held, self._rules.at_most)
        return shared if candidate.root in seen else shared + self._rules.unseen
