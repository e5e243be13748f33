"""What is watched where nothing but the process itself steers: the folders that its settings name, and those that the
program around it adds.

Owns no thread: a folder is added on the thread of whoever asks, one at a time. Where leases come and go, the thread
that looks after them says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from file_watcher.assembly.surroundings import Surroundings
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.model import Library
from file_watcher.paths import inner, real_path
from file_watcher.roster import Watched
from file_watcher.tenure import Candidate, Tenure
from file_watcher.watching.missing import make_missing

Apply = Callable[[Sequence[Watched]], bool]
"""See `fleet.Fleet.apply`."""


class Chosen:
    """The libraries of those folders. Nothing is chosen here where the database steers (`steering`)."""

    def __init__(
        self, at: Surroundings, tenure: Tenure, apply: Apply, expect: Callable[[Library], None]
    ) -> None:
        """`expect(library)` is told of a library that is added, before anything of it is seen or published."""
        self._at = at
        self._rows = LibraryRows(at.database)
        self._tenure = tenure
        self._apply = apply
        self._expect = expect
        self._turn = threading.Lock()
        """Held while libraries come or go, so that `apply` is called by one thread at a time."""
        is_ours = at.layers is None and at.settings.watch.enabled
        self._roots: Sequence[Path] = at.settings.roots if is_ours else ()
        self._chosen: Sequence[Watched] = ()

    def first(self) -> list[Watched]:
        """What is to be watched from the start. Gives each folder a row, and makes missing ones where that is wished.

        Raises CatalogUnavailable or CatalogError, and UsageError for a folder that cannot be made.
        """
        if self._at.layers is not None:
            return []  # rows that the environment named are the planner's
        self._chosen = self._libraries_of(self._roots)
        if self._at.settings.watch.create_missing:
            for root, each in zip(self._roots, self._chosen, strict=True):
                self._make(root, each.library)
        return self._held()

    def follow(self) -> None:
        """What is ours has changed: have it watched. Blocks for some seconds at most."""
        with self._turn:
            self._apply(self._held())

    def add(self, root: Path) -> Library | None:
        """Have one more folder watched beside the others, which go on undisturbed; it must be outside of theirs.

        Returns before it is watched; None where nothing is watched at all (`enabled`). Raises CatalogUnavailable
        or CatalogError, and nothing has changed then.
        """
        if not self._at.settings.watch.enabled:
            return None
        with self._turn:
            roots = (*self._roots, root)
            new = self._libraries_of(roots)[-1]
            self._expect(new.library)
            self._roots, self._chosen = roots, (*self._chosen, new)
            self._apply(self._held())
        return new.library

    def _libraries_of(self, roots: Sequence[Path]) -> list[Watched]:
        libraries = self._rows.ensure_libraries([real_path(root) for root in roots], self._at.instance_id)
        return [Watched.by(library, self._at.settings.watch) for library in libraries]

    def _make(self, root: Path, library: Library) -> None:
        state = self._rows.library_state(library.id)
        make_missing(inner(root), was_watched=state is not None and state.root_inode is not None)

    def _held(self) -> list[Watched]:
        candidates = [Candidate(each.library.id, each.library.root, is_named=True) for each in self._chosen]
        held = self._tenure.hold(candidates)
        return [each for each in self._chosen if each.library.id in held]
