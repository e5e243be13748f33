"""Why a command waits long, in the words of the service that it waits for. Owns no thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from file_watcher.cli.endings import complain
from file_watcher.cli.pages import reasons_against

if TYPE_CHECKING:
    from file_watcher.catalog.requests import Instance

_LONG_SECONDS: Final = 2.0
"""From when on a wait wants to be explained."""


class Explanation:
    """Says once, on standard error, what holds a wait up."""

    def __init__(
        self, doing: str, instance: Instance | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`instance` is the service that works on it, None before its first heartbeat."""
        self._doing = doing
        self._instance = instance
        self._clock = clock
        self._due: float | None = clock() + _LONG_SECONDS

    def look(self) -> None:
        """Call now and then while waiting. Asks the service, which blocks for seconds where that hangs."""
        if self._due is None or self._clock() < self._due:
            return
        if reasons := reasons_against(self._instance):
            self._due = None
            complain(f"{self._doing} waits: {'; '.join(reasons)}")
