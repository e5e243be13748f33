"""The pulse of a thread: what it is at and how many steps it has made, so that a stuck one is noticed.

Owns no thread. The thread itself writes its pulse, `ops.watchdog` reads it. Waiting for something that is
known to be full or away (room in a queue, a server) is done in short steps or at rest, so that it never
looks like being stuck.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from file_watcher.model import display


@dataclass(frozen=True, slots=True)
class Progress:
    """A stage at one moment. It is stuck where `steps` stays the same for long while `doing` is not None."""

    stage: str
    steps: int
    doing: str | None
    """What it is at, or what waits for it, for people; None where there is nothing to do."""
    patience: float = 1.0
    """How many times longer than others it may take for one step."""
    is_vital: bool = True
    """Whether a hang of it is a reason to start the service anew; it is told in any case."""


ProgressSource = Callable[[], Progress]
"""Tells how far a stage is, at once; may be asked from any thread."""


GroupSource = Callable[[], Sequence[Progress]]
"""The same of threads whose number changes."""


class Own(threading.local):
    """The calling thread's pulse, for code that several threads share; a thread without one has a dummy."""

    def __init__(self) -> None:
        self.pulse = Pulse("")


class Pulse:
    """One thread's own. No method blocks or raises."""

    __slots__ = ("_at", "_is_vital", "_patience", "stage")

    def __init__(self, stage: str, patience: float = 1.0, *, is_vital: bool = True) -> None:
        self.stage = stage
        self._patience = patience
        self._is_vital = is_vital
        self._at: tuple[int, str | None, bytes | None] = (0, None, None)

    def at(self, doing: str, path: bytes | None = None) -> None:
        """Begin something, which is a step."""
        self._at = (self._at[0] + 1, doing, path)

    def step(self) -> None:
        """Get on with it."""
        steps, doing, path = self._at
        self._at = (steps + 1, doing, path)

    def rest(self) -> None:
        """Wait for something to do."""
        self._at = (self._at[0], None, None)

    def look(self) -> Progress:
        """What it is at now."""
        steps, doing, path = self._at
        if doing is not None and path is not None:
            doing = f"{doing} {display(path)}"
        return Progress(self.stage, steps, doing, self._patience, self._is_vital)
