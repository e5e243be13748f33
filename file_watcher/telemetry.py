"""What the stages report while they work; `ops.metrics` turns it into Prometheus metrics.

Every method is cheap, never blocks and never raises. The base class does nothing, so that each stage
can be used and tested without metrics.
"""

from __future__ import annotations

from file_watcher.model import Library


class Telemetry:
    """Receives the stages' reports and forgets them."""

    def hint_seen(self, kind: str, library: Library) -> None:
        """A hint arrived that passed the filters (`watcher_events_total`)."""

    def debounced(self, count: int = 1) -> None:
        """Hints that fell into an open debounce window (`watcher_debounce_suppressed_total`)."""

    def recorded(self, queue: str, message_type: str, count: int = 1) -> None:
        """Messages recorded in the outbox (`watcher_enqueue_total`)."""

    def merged(self, count: int = 1) -> None:
        """Unsent messages that were merged into later ones (`watcher_outbox_merged_total`)."""

    def unchanged(self, count: int = 1) -> None:
        """Files whose stat had changed but whose content had not: no message."""

    def error(self, stage: str) -> None:
        """An error in one of: watch, debounce, hash, tags, db, enqueue (`watcher_errors_total`)."""

    def hashed(self, size: int, seconds: float) -> None:
        """Bytes read and the time it took."""

    def missed(self, count: int = 1) -> None:
        """Changes that only a periodic rescan found (`watcher_missed_total`)."""

    def scanned(self, library: Library, seconds: float, files: int) -> None:
        """A scan ended."""

    def committed(self, rows: int, seconds: float) -> None:
        """A batch of rows and messages was committed."""

    def stage_stuck(self, stage: str) -> None:
        """A stage has something to do and makes no progress (`watcher_stage_stuck_total`)."""

    def published(self, seconds: float) -> None:
        """A message was confirmed, this long after it was handed to the broker."""

    def unrouted(self) -> None:
        """A message was kept as unrouted: no queue wanted it, or it was set aside (`watcher_unrouted_total`)."""

    def delivered(self, seconds: float) -> None:
        """A message was confirmed, this long after the change was first noticed."""
