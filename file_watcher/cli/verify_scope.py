"""Which libraries `verify` reads, and what it refuses before it reads anything. Owns no thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from file_watcher.cli.narrowing import intervals_of
from file_watcher.errors import UsageError
from file_watcher.model import display

if TYPE_CHECKING:
    from file_watcher.catalog.bookkeeping import Books, KnownLibrary


def that_can_be_verified(chosen: Sequence[KnownLibrary], *, named: bool) -> list[KnownLibrary]:
    """Those whose folders are there. Raises UsageError where a named one, or any at all, is away.

    Nothing is read before all of them are known to be there: who is told at the end of a day that one library was
    left out has waited for nothing.
    """
    from file_watcher.verification import LibraryAway, require_root

    problems: list[str] = []
    there: list[KnownLibrary] = []
    for known in chosen:
        try:
            require_root(known)
            there.append(known)
        except LibraryAway as exc:
            problems.append(str(exc))
    if problems:
        names = ", ".join(known.library.name for known in there)
        mend = () if named or not there else (f"Or name the one to verify; there: {names}",)
        raise UsageError(*problems, *mend)
    return there


def refuse_nothing_there(books: Books, chosen: Sequence[KnownLibrary], ways: tuple[bytes, ...]) -> None:
    """Raise UsageError where no file of these libraries lies at the path, or below: not to be taken for intact.

    `ways` are those to write one path, as `narrowing.ways_to` has them; none mean the whole libraries.
    """
    within = intervals_of(ways)
    if not ways or any(books.amount(known.library.id, within).files for known in chosen):
        return
    path = display(ways[0])
    if any(known.library.holds(way) for known in chosen for way in ways):
        raise UsageError(
            f"The catalog has no file at or below {path}, so there is nothing to verify; look for a typing error, or "
            "let a service that runs learn what is new with `scan`, then `sync`"
        )
    places = ", ".join(f"{known.library.name} ({display(known.library.root)})" for known in chosen)
    raise UsageError(f"{path} lies outside of {places}; give a path inside")
