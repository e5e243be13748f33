"""The oldest of the hints that are undecided, without asking all of them. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

from file_watcher.watching.entry import Entry


class OldestFirst:
    """Dirty paths by the time at which they were noticed.

    What has been decided, or noticed earlier after all, is dropped when it comes to the top; at the latest
    when it is more than what is still dirty.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []

    def add(self, entry: Entry, dirty: Mapping[bytes, Entry]) -> None:
        """Take note of an entry that is new or was dated back."""
        heapq.heappush(self._heap, (entry.noticed, entry.path))
        if len(self._heap) > 2 * len(dirty) + 1000:
            self._heap = [(each.noticed, each.path) for each in dirty.values()]
            heapq.heapify(self._heap)

    def oldest(
        self, dirty: Mapping[bytes, Entry], is_left_out: Callable[[Entry], bool] = lambda _: False
    ) -> float | None:
        """When the oldest was noticed that is not left out. Few may be left out: each is asked for each time."""
        passed_over: list[tuple[float, bytes]] = []
        found: float | None = None
        while self._heap and found is None:
            noticed, path = self._heap[0]
            entry = dirty.get(path)
            if entry is None or entry.noticed != noticed:
                heapq.heappop(self._heap)
            elif is_left_out(entry):
                passed_over.append(heapq.heappop(self._heap))
            else:
                found = noticed
        for each in passed_over:
            heapq.heappush(self._heap, each)
        return found
