"""Paths at which a moved file stood so shortly that nobody has seen it there.

A file that is moved, whose new folder is moved at once and that is then written, has only the kernel's word left to
prove what it is; and of the two moves each tells half. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from file_watcher.model import GONE, FileStat, Observation


class Waypoints:
    """For each such path those that the file had before it. Kept as long as it may be asked for where it went."""

    def __init__(self) -> None:
        self._origins: OrderedDict[bytes, tuple[frozenset[bytes], float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._origins)

    def note(self, seen: Observation, now: float) -> None:
        """What was seen at a path that something was moved to: where nothing is, it has gone on."""
        if seen.moved_from and seen.sight is GONE:
            self._origins.pop(seen.path, None)
            self._origins[seen.path] = (seen.moved_from, now)
        elif self._origins and isinstance(seen.sight, FileStat):
            self._origins.pop(seen.path, None)

    def with_earlier_ones(self, seen: Observation) -> Observation:
        """The observation with all paths that its file came from."""
        if not self._origins or not seen.moved_from:
            return seen
        known = set(seen.moved_from)
        following = list(known)
        while following:
            origins, _ = self._origins.get(following.pop(), (frozenset[bytes](), 0.0))
            following += origins - known
            known |= origins
        return seen if known == seen.moved_from else replace(seen, moved_from=frozenset(known))

    def forget(self, before: float, is_awaited: Callable[[bytes], bool]) -> None:
        """Forget those that were noted before that time, but for what came from where a file is still awaited."""
        while self._origins:
            origins, since = next(iter(self._origins.values()))
            if since > before or any(map(is_awaited, origins)):
                return
            self._origins.popitem(last=False)
