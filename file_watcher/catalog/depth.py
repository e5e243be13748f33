"""How many messages wait, for those who ask again and again.

Owns no thread; any may ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_SHARE: Final = 20.0
"""The answer is good for so many times as long as it took: counting costs at most 5% of one core. A million
waiting messages take 0.05 s to count on SQLite and about 1 s on PostgreSQL: the answer is 20 s old at most."""

Depth = tuple[int, int | None]
"""The number, and when the first of them was created (ns since the epoch; None where none waits)."""


class DepthWatch:
    """Remembers the last answer for a while. A question that raises is not remembered."""

    def __init__(
        self,
        ask: Callable[[], Depth],
        clock: Callable[[], float] = time.monotonic,
        longest: float = float("inf"),
    ) -> None:
        """`ask()` counts; `clock()` tells monotonic seconds. No answer is good for more than `longest` seconds."""
        self._ask = ask
        self._longest = longest
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: Depth | None = None
        self._good_until = 0.0

    def depth(self) -> Depth:
        """The depth now or a little earlier. Blocks while the database counts; raises what it raises."""
        began = self._clock()
        with self._lock:
            if self._answer is not None and began < self._good_until:
                return self._answer
        answer = self._ask()
        ended = self._clock()
        with self._lock:
            self._answer = answer
            self._good_until = ended + min(_SHARE * (ended - began), self._longest)
        return answer

    def count(self) -> int:
        """Only the number; see `depth`."""
        return self.depth()[0]
