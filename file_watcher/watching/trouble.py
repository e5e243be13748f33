"""What can go wrong with a watch while it stands, as values that the service decides upon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

log = structlog.get_logger(__name__)


class TroubleKind(StrEnum):
    """Every kind but UNWATCHED means that hints were lost: scan, with a new watch standing first."""

    OVERFLOW = "overflow"
    """The kernel's queue was full; it threw hints away."""
    THREAD_DIED = "thread_died"
    """A thread of the observer ended by an exception."""
    EVENT_FAILED = "event_failed"
    """One event could not be worked on; the watch goes on, but may have missed a folder."""
    ROOT_LOST = "root_lost"
    """The root was deleted or unmounted."""
    UNMOUNTED = "unmounted"
    """A filesystem below the root was unmounted."""
    UNWATCHED = "unwatched"
    """A folder could not be watched; told once for each errno, `LibraryWatch.unwatched` lists them all."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble. `detail` is a sentence for the operator."""

    kind: TroubleKind
    detail: str
    path: bytes | None = None
    errno: int | None = None

    @property
    def loses_hints(self) -> bool:
        """Whether something may have happened that nobody will hear of."""
        return self.kind is not TroubleKind.UNWATCHED


ReportTrouble = Callable[[Trouble], None]
"""Takes note of a trouble and returns at once; called on the observer's threads."""


def report_death(thread: str, error: Exception, report: ReportTrouble) -> None:
    """Log and report what escaped at the top of a thread."""
    log.error("thread_died", thread=thread, exc_info=error)
    report(Trouble(TroubleKind.THREAD_DIED, f"the thread {thread} ended: {error!r}"))
