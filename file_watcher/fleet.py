"""The fleet: changes what the running service watches, and how, without losing or inventing anything.

Owns no thread: whoever steers calls it on one thread. What is to be is given as a whole; called again with the
same it does nothing, and what could not be done is done by the next call.

A library that leaves is shut before anything else: from then on all of it is *unknown*, so that nothing of it is
decided any more, and only after the decisions under way are over are its rows left out of what the others see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, Protocol

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import Library, display
from file_watcher.roster import Roster, Watched
from file_watcher.watching.keeper import Kept

log = structlog.get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds that a library may take to leave before it is tried again: its thread may just list a large folder."""

_SHOWN: Final = 5
"""So many libraries are named in a line of the log."""


class Keeper(Protocol):
    """Who keeps the libraries (`watching.keeper.LibraryKeeper`)."""

    def put(self, kept: Kept) -> None:
        """Keep it from now on, in this way."""

    def drop(self, library: Library, timeout: float, *, for_good: bool = True) -> bool:
        """Keep it no more; False where that takes longer."""


class Fleet:
    """Brings the core to what is wanted."""

    def __init__(
        self,
        roster: Roster,
        keeper: Keeper,
        kept_as: Callable[[Watched], Kept],
        finish_round: Callable[[float], bool],
        own: Callable[[Sequence[Watched]], None],
        say_goodbye: Callable[[Library], None],
    ) -> None:
        """`kept_as` says how a library is to be kept; `finish_round(seconds)` waits for decisions under way;
        `own(watched)` says whose rows and messages are ours; `say_goodbye` publishes, once, that a library is
        watched no more, and may raise CatalogUnavailable."""
        self._roster = roster
        self._keeper = keeper
        self._kept_as = kept_as
        self._finish_round = finish_round
        self._own = own
        self._say_goodbye = say_goodbye
        self._gone: set[int] = set()
        """Those of which it is recorded that nobody watches them."""

    def apply(self, wanted: Sequence[Watched], unwatched: Collection[Library] = ()) -> bool:
        """Watch these libraries, by these rules, and no others; False where it has to be called again soon.

        What leaves does so silently, but for a notice about those that are `unwatched` (by anybody), also where
        that happened while nobody ran. A library whose root changed keeps its number: files that are found below
        the new root are told as moved, the others as deleted. Blocks for some seconds at most.
        """
        numbers = {each.library.id for each in wanted}
        leaving = [each for each in self._roster.all() if each.library.id not in numbers]
        done = self._let_go(leaving, {each.id for each in unwatched})
        changed = [new for each in wanted if (new := self._changed(each)) is not None]
        self._tell(changed)
        for each in changed:
            self._roster.put(each)
        if changed:
            self._own(self._roster.all())
        for each in changed:
            self._gone.discard(each.library.id)
            self._keeper.put(self._kept_as(each))
        return self._tell_unwatched(unwatched) and done

    def root_of(self, library_id: int) -> bytes | None:
        """Where the library lies; None where it is not watched. May be asked from any thread."""
        watched = self._roster.get(library_id)
        return None if watched is None else watched.library.root

    def _changed(self, wanted: Watched) -> Watched | None:
        """What is to be taken in; None where all is as before. A filter that is the same stays the same object."""
        before = self._roster.get(wanted.library.id)
        if before is None:
            return wanted
        if before.library.root == wanted.library.root and _patterns(before) == _patterns(wanted):
            wanted = replace(wanted, path_filter=before.path_filter)
        return None if wanted == before else wanted

    def _tell(self, changed: Sequence[Watched]) -> None:
        """A line for each library that is new or lies elsewhere now; one for all of which only the rules changed."""
        ruled = []
        for each in changed:
            before = self._roster.get(each.library.id)
            if before is not None and before.library.root == each.library.root:
                ruled.append(each.library.name)
            else:
                log.info("library_taken_in", library=each.library.name, root=display(each.library.root))
        if ruled:
            log.info("rules_changed", count=len(ruled), libraries=ruled[:_SHOWN])

    def _let_go(self, leaving: Sequence[Watched], unwatched: Collection[int]) -> bool:
        """Whether all of them are gone by now. Dropping one again that the keeper let go already does no harm."""
        left = [
            each.library.id
            for each in leaving
            if self._keeper.drop(each.library, _PATIENCE, for_good=each.library.id in unwatched)
        ]
        if left and not self._finish_round(_PATIENCE):
            return False
        for number in left:
            self._roster.drop(number)
        if left:
            self._own(self._roster.all())
        return len(left) == len(leaving)

    def _tell_unwatched(self, unwatched: Collection[Library]) -> bool:
        for library in unwatched:
            if library.id in self._gone or self._roster.get(library.id) is not None:
                continue
            try:
                self._say_goodbye(library)
            except CatalogUnavailable:
                return False
            self._gone.add(library.id)
        return True


def _patterns(watched: Watched) -> tuple[object, ...]:
    rules = watched.watch
    return rules.patterns, rules.ignore_patterns, rules.recursive
