"""Messages that the broker refused (nacked), and when how many of them are tried again. Pure.

A message that one full queue refuses has reached all other queues that want it, and does so again with each try. So
a single one is tried first, ever more rarely; twice as many each time while all are taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from file_watcher.model import OutboxMessage

FIRST_SECONDS: Final = 0.1
"""Until the next try, doubled with each that fails."""
LONGEST_SECONDS: Final = 30.0
LASTING_SECONDS: Final = 6.0
"""What has been refused for so long is a trouble that somebody has to mend."""


class Refusals:
    """What is to be tried again over one connection. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: deque[OutboxMessage] = deque()
        self._tried: set[int] = set()
        """Sequences of those that were published again, and whose outcome is not known yet."""
        self._has_failed = False
        """Whether one of them was refused again."""
        self._is_planned = False
        self._at_once = 1
        self._pause = FIRST_SECONDS
        self._since: float | None = None
        self._key = ""

    def __len__(self) -> int:
        """How many wait to be tried again."""
        return len(self._waiting)

    @property
    def is_active(self) -> bool:
        """Whether anything was refused that has not been taken since."""
        return self._since is not None

    def lasting_key(self, now: float) -> str | None:
        """The routing key of what was refused first, where something has been refused for several seconds."""
        is_lasting = self._since is not None and now - self._since >= LASTING_SECONDS
        return self._key if is_lasting else None

    def refused(self, messages: Sequence[OutboxMessage], now: float) -> float | None:
        """The broker refused these. Returns in how many seconds to `take`; None where that is not to be planned now."""
        if self._since is None:
            self._since, self._key = now, messages[0].routing_key
        self._waiting.extend(messages)
        self._settle(messages, is_failure=True)
        return self._plan()

    def taken(self, messages: Sequence[OutboxMessage]) -> float | None:
        """The broker took these, whatever they are. Returns as `refused`."""
        self._settle(messages, is_failure=False)
        if not self._waiting and not self._tried:
            self._since = None
        return self._plan()

    def take(self) -> list[OutboxMessage]:
        """Those to publish now."""
        self._is_planned = self._has_failed = False
        trial = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
        self._tried.update(message.sequence for message in trial)
        return trial

    def _settle(self, messages: Sequence[OutboxMessage], *, is_failure: bool) -> None:
        ours = self._tried.intersection(message.sequence for message in messages)
        if not ours:
            return
        self._tried -= ours
        if is_failure and not self._has_failed:
            self._has_failed = True
            self._at_once, self._pause = 1, min(2 * self._pause, LONGEST_SECONDS)
        elif not self._tried and not self._has_failed:
            self._at_once, self._pause = 2 * self._at_once, FIRST_SECONDS

    def _plan(self) -> float | None:
        """Once it is known what became of those that were tried before."""
        if self._is_planned or self._tried or not self._waiting:
            return None
        self._is_planned = True
        return self._pause
