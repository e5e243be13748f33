"""The values of the jobs: what an event adds to a window, a window that is open, and the job that it becomes.

Frozen, no behaviour but arithmetic. Times are wall-clock nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from file_watcher.model import Library


@dataclass(frozen=True, slots=True)
class WindowChange:
    """One event, counted in the window of one rule and one place; the first of a window opens it.

    `key` says which rule of which library, and which place; at most one window of a key is open. `file_id` is the
    file's whose event it is: the change is recorded with it or not at all.
    """

    file_id: str
    key: str
    library_id: int
    type: str
    queue: str
    path: bytes
    trigger: str
    event: str
    at_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window as the catalog keeps it. `events` counts by type of event; `library` is None where its row is gone."""

    row_id: int
    library_id: int
    library: Library | None
    key: str
    type: str
    queue: str
    path: bytes
    trigger: str
    events: Mapping[str, int]
    count: int
    start_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of whoever reads the queue: one closed window."""

    job_id: str
    library: Library
    type: str
    queue: str
    path: bytes
    trigger: str
    events: Mapping[str, int]
    count: int
    key: str
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, window: OpenWindow, library: Library, job_id: str, now_ns: int) -> Job:
        """The job of a window that is closed now."""
        return cls(
            job_id,
            library,
            window.type,
            window.queue,
            window.path,
            window.trigger,
            window.events,
            window.count,
            window.key,
            window.start_ns,
            max(now_ns, window.start_ns),
        )

    @property
    def dedupe_key(self) -> str:
        """The same for everything that was made of one window, whoever made it how often."""
        return f"{self.key}-{self.start_ns // 1000}"
