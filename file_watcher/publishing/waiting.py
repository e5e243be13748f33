"""Where recorded messages wait, as the relay and its dispatch see it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from file_watcher.model import OutboxMessage


class Outbox(Protocol):
    """Where recorded messages wait. Every method may raise errors.CatalogUnavailable."""

    def pending(
        self, after_sequence: int, limit: int, left_behind: Collection[int] = ()
    ) -> list[OutboxMessage]:
        """Unpublished messages with a higher sequence, by sequence; of libraries that are `left_behind` only
        those that have an old path."""

    def pending_of(self, library_id: int, after_sequence: int, up_to: int, limit: int) -> list[OutboxMessage]:
        """Those of one library with a sequence between the two, the second one included."""

    def mark_published(self, sequences: Sequence[int]) -> None:
        """Record the confirms; asking twice is harmless."""

    def mark_unrouted(self, sequences: Sequence[int]) -> None:
        """Record that the broker took them but no queue wanted them."""

    def depth(self) -> tuple[int, int | None]:
        """How many wait, and the created_ns of the oldest."""

    def reserve(self, up_to: int, library_ids: Collection[int]) -> None:
        """Note durably that everything of these libraries up to this sequence may have been sent; asking twice
        is harmless."""

    def carrier_of(self, sequence: int) -> int:
        """The sequence up to which all must be published for what was recorded up to the given one to be
        told: a greater one where messages were merged into later ones."""
