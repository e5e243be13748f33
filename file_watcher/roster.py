"""The roster: which libraries are watched now, and by which rules each of them.

Owns no thread. One thread changes it (the composition root's at the start, the fleet's afterwards); any thread
may ask, without a lock: a change is one assignment of a new, never altered table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from file_watcher.jobs.rules import JobRule, jobs_of
from file_watcher.model import Library
from file_watcher.settings import FileWatchSettings
from file_watcher.watching.filters import PathFilter


@dataclass(frozen=True, slots=True)
class Watched:
    """A library that is to be watched: `watch` are the settings that hold for it, rules of its own included."""

    library: Library
    watch: FileWatchSettings
    path_filter: PathFilter
    jobs: tuple[JobRule, ...] = ()

    @classmethod
    def by(cls, library: Library, watch: FileWatchSettings, jobs: str | None = None) -> Watched:
        """With the filter that its settings describe, and the rules in the text of its rule `jobs` (None: it has none).

        Raises UsageError where patterns or rules cannot be used.
        """
        path_filter = PathFilter(
            library.root, watch.patterns, watch.ignore_patterns, recursive=watch.recursive
        )
        return cls(library, watch, path_filter, jobs_of(library.type, jobs))


class Roster:
    """The watched libraries, by number and by path. A path lies in at most one of them."""

    def __init__(self, watched: Iterable[Watched] = ()) -> None:
        self._watched: Mapping[int, Watched] = {each.library.id: each for each in watched}
        self._known = dict(self._watched)
        """Those that left, too: work on their files may still be under way."""

    def all(self) -> tuple[Watched, ...]:
        """Everything that is watched now."""
        return tuple(self._watched.values())

    def libraries(self) -> list[Library]:
        """The libraries that are watched now."""
        return [each.library for each in self._watched.values()]

    def get(self, library_id: int) -> Watched | None:
        """The library of that number, None where it is not watched."""
        return self._watched.get(library_id)

    def of(self, path: bytes) -> Library | None:
        """The library that the path lies in."""
        for each in self._watched.values():
            if each.library.holds(path):
                return each.library
        return None

    def filter_of(self, library: Library) -> PathFilter:
        """The library's filter: its last one, where it is watched no more."""
        return self._known[library.id].path_filter

    def rules_of(self, library: Library) -> FileWatchSettings:
        """The settings that hold for the library: its last ones, where it is watched no more."""
        return self._known[library.id].watch

    def jobs_of(self, library_id: int) -> tuple[JobRule, ...]:
        """The library's rules for jobs; none where it is not watched."""
        watched = self._watched.get(library_id)
        return () if watched is None else watched.jobs

    def job_queues(self) -> dict[str, Mapping[str, str | int | bool]]:
        """The queues that rules want declared, with their arguments. Where two differ, one library's holds."""
        rules = [rule for each in self._watched.values() for rule in each.jobs]
        return {rule.queue: dict(rule.declare) for rule in rules if rule.declare is not None}

    def put(self, watched: Watched) -> None:
        """Take a library in, or give one other rules."""
        self._known[watched.library.id] = watched
        self._watched = {**self._watched, watched.library.id: watched}

    def drop(self, library_id: int) -> None:
        """Let a library go; does nothing where it is not watched."""
        self._watched = {number: each for number, each in self._watched.items() if number != library_id}
