"""What the decider keeps until it can be decided: mostly files that are gone and may have moved.

Pure. Many thousands may be held, as after a whole tree was deleted: each question is answered without going
through all of them.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from file_watcher.model import GONE
from file_watcher.processing.decision import Pending


class HeldObservations:
    """Pending observations by path, those of files that are gone in the order in which they came to be held."""

    def __init__(self) -> None:
        # The first of an ordinary dict is far away once many before it were deleted.
        self._gone: OrderedDict[bytes, Pending] = OrderedDict()
        self._there: dict[bytes, Pending] = {}
        self._noticed: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._gone) + len(self._there)

    def get(self, path: bytes) -> Pending | None:
        """What is held for the path."""
        return self._gone.get(path) or self._there.get(path)

    def is_gone(self, path: bytes) -> bool:
        """Whether a file that is gone from the path is waited for."""
        return path in self._gone

    def is_owed(self, path: bytes) -> bool:
        """Whether a file that is gone from the path was still to be read."""
        held = self._gone.get(path)
        return held is not None and held.observation.owed

    def put(self, pending: Pending) -> None:
        """Hold it, in place of what was held for its path. Keeps its turn where it waits since the same time."""
        path = pending.observation.path
        before = self.get(path)
        lane = self._gone if pending.observation.sight is GONE else self._there
        if before is None or before.since != pending.since or path not in lane:
            self.forget(path)
        lane[path] = pending
        if before is None or before.observation.noticed != pending.observation.noticed:
            self._note(pending)

    def forget(self, path: bytes) -> None:
        """Hold nothing for the path any more."""
        self._gone.pop(path, None)
        self._there.pop(path, None)

    def there(self) -> Iterator[Pending]:
        """Files that are there and wait for something else."""
        return iter(self._there.values())

    def gone_since(self, since: float) -> Iterator[Pending]:
        """Files that are gone, and held since then or longer."""
        for pending in self._gone.values():
            if pending.since > since:
                return
            yield pending

    def oldest_since(self) -> float | None:
        """Since when the one is held that has waited longest."""
        first = next(iter(self._gone.values()), None)
        oldest = [each.since for each in self._there.values()] + ([first.since] if first else [])
        return min(oldest, default=None)

    def oldest_noticed(self) -> float | None:
        """When the oldest hint behind what is held was noticed."""
        while self._noticed:
            noticed, path = self._noticed[0]
            held = self.get(path)
            if held is not None and held.observation.noticed == noticed:
                return noticed
            heapq.heappop(self._noticed)
        return None

    def _note(self, pending: Pending) -> None:
        heapq.heappush(self._noticed, (pending.observation.noticed, pending.observation.path))
        if len(self._noticed) > 2 * len(self) + 1000:
            everything = (*self._gone.values(), *self._there.values())
            self._noticed = [(each.observation.noticed, each.observation.path) for each in everything]
            heapq.heapify(self._noticed)
