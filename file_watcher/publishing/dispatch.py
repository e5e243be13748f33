"""Decides what goes to the broker when: the relay's logic, without a thread and without a clock.

The rules, each of which keeps the promise of the wire:
- At most one unconfirmed message per path (`path` and `old_path`), where a folder and what lies below it count
  as one path. What would be a second one waits, and whatever comes later on one of its paths waits behind it.
  So a message that the broker refuses, and that goes out again later, never changes places with a connected one.
  A notice lies on its library's root: it goes out after what was recorded before it and before what came after.
- A message is noted as perhaps sent before it is submitted: what lies above the durable mark was never sent,
  and may be merged (`catalog.compaction`). The mark runs ahead, so that it costs nothing per message.
- The outbox is read by "not yet published": pages continue after the last one read only while something
  is under way; whenever nothing is, reading starts from the beginning.
- A message counts as published only after its confirm, and what is confirmed is marked before the
  outbox is read from the beginning again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from file_watcher.model import OutboxMessage
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.occupancy import Occupancy
from file_watcher.publishing.token_bucket import TokenBucket


class Outbox(Protocol):
    """Where recorded messages wait. Every method may raise errors.CatalogUnavailable."""

    def pending(self, after_sequence: int, limit: int) -> list[OutboxMessage]:
        """Unpublished messages with a higher sequence, by sequence."""

    def mark_published(self, sequences: Sequence[int]) -> None:
        """Record the confirms; asking twice is harmless."""

    def mark_unrouted(self, sequences: Sequence[int]) -> None:
        """Record that the broker took them but no queue wanted them."""

    def depth(self) -> tuple[int, int | None]:
        """How many wait, and the created_ns of the oldest."""

    def reserve(self, up_to: int) -> None:
        """Note durably that everything up to this sequence may have been sent; asking twice is harmless."""

    def carrier_of(self, sequence: int) -> int:
        """The sequence up to which all must be published for what was recorded up to the given one to be
        told: a greater one where messages were merged into later ones."""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """Bounds of the relay. Seconds, counts and bytes.

    `window` and `window_bytes` bound what is unconfirmed: enough to keep the broker busy (at 10,000
    messages a second 0.2 s), little enough to be published again after a loss. `page` rows are read at a time; `mark_seconds` gathers confirms into one transaction; `poll_seconds` is how long
    a message may wait whose wake-up was missed; `flush_seconds` how long a close waits for confirms.
    """

    window: int = 2000
    window_bytes: int = 32 * 1024 * 1024
    page: int = 500
    mark_seconds: float = 0.05
    poll_seconds: float = 1.0
    flush_seconds: float = 2.0
    rate_limit: float | None = None
    """Messages per second, None for as fast as the broker takes them."""
    reserve_ahead: int = 10_000
    """How far the mark of what may have been sent runs ahead of what was read: one small commit for so many
    messages. What lies below it is not merged during an outage, so it must be small beside `outbox_limit`."""


class Settled(NamedTuple):
    """A message of which the broker took charge. `seconds` passed since it was submitted."""

    message: OutboxMessage
    routed: bool
    seconds: float


class _Flight(NamedTuple):
    message: OutboxMessage
    submitted: float


class Dispatch:
    """Moves messages from the outbox to the lane. Not thread-safe: one thread calls everything."""

    def __init__(self, outbox: Outbox, config: RelayConfig) -> None:
        self._outbox = outbox
        self._config = config
        self._lane: Lane | None = None
        self._flights: dict[int, _Flight] = {}
        self._bytes = 0
        self._busy = Occupancy()
        self._read: deque[OutboxMessage] = deque()
        self._deferred: list[OutboxMessage] = []
        self._deferred_paths = Occupancy()
        self._recheck_deferred = False
        self._settled: list[Settled] = []
        self._settled_since = 0.0
        self._after = 0
        self._reserved = 0
        self._more_is_likely = True
        self._bucket = TokenBucket(config.rate_limit) if config.rate_limit else None

    # -- what happened ---------------------------------------------------------------------------

    def woken(self) -> None:
        """Something was recorded, or it is time to look whether something was."""
        self._more_is_likely = True

    def ready(self, lane: Lane) -> None:
        """Messages may be submitted to this lane."""
        self._lane = lane
        self.woken()

    def lost(self) -> None:
        """The lane is gone: forget what was under way, and read it again from the outbox."""
        self._lane = None
        self._flights.clear()
        self._bytes = 0
        self._busy.clear()
        self._forget_read()

    def settled(self, messages: Iterable[OutboxMessage], now: float, *, routed: bool) -> None:
        """The broker confirmed these; unknown ones (of an earlier lane) only get marked."""
        if not self._settled:
            self._settled_since = now
        for message in messages:
            flight = self._flights.pop(message.sequence, None)
            self._settled.append(Settled(message, routed, 0.0 if flight is None else now - flight.submitted))
            if flight is not None:
                self._land(message)

    # -- what is to be done ----------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a broker can be reached."""
        return self._lane is not None

    @property
    def in_flight(self) -> int:
        """Submitted and not confirmed."""
        return len(self._flights)

    @property
    def unmarked(self) -> int:
        """Confirmed and not yet recorded as published."""
        return len(self._settled)

    def mark(self, now: float, *, force: bool = False) -> list[Settled]:
        """Record the confirms once enough were gathered; returns what was recorded. Blocks on the outbox.

        Raises errors.CatalogUnavailable; nothing is forgotten then, and marking again is harmless.
        """
        settled = self._settled
        due = force or not self._flights or now - self._settled_since >= self._config.mark_seconds
        if not settled or not due:
            return []
        published = [item.message.sequence for item in settled if item.routed]
        unrouted = [item.message.sequence for item in settled if not item.routed]
        if published:
            self._outbox.mark_published(published)
        if unrouted:
            self._outbox.mark_unrouted(unrouted)
        self._settled = []
        return settled

    def fill(self, now: float) -> None:
        """Submit what may go now, reading the outbox as needed. Blocks on the outbox only.

        Raises errors.CatalogUnavailable; what was read and not submitted stays in hand.
        """
        if self._lane is None:
            return
        batch: list[OutboxMessage] = []
        try:
            self._take_deferred(batch, now)
            while self._take_read(batch, now) and self._read_page():
                pass
        finally:
            if batch:
                self._lane.submit(batch)

    def wait_seconds(self, now: float) -> float:
        """How long nothing is to be done unless something happens."""
        if self._settled:
            return max(0.0, self._settled_since + self._config.mark_seconds - now)
        if self._bucket is not None and (self._read or self._recheck_deferred):
            # With a token at hand it is the window that is full, and a confirm will wake us.
            return self._bucket.wait_seconds(now) or self._config.poll_seconds
        return self._config.poll_seconds

    # -- inside ----------------------------------------------------------------------------------

    def _take_deferred(self, batch: list[OutboxMessage], now: float) -> None:
        """Submit those whose paths have become free, without overtaking one another."""
        if not self._recheck_deferred:
            return
        self._recheck_deferred = False
        waiting, self._deferred = self._deferred, []
        self._deferred_paths.clear()
        for place, message in enumerate(waiting):
            if not self._has_room(now):
                for later in waiting[place:]:
                    self._defer(later)
                self._recheck_deferred = True
                return
            self._take_or_defer(message, batch, now)

    def _take_read(self, batch: list[OutboxMessage], now: float) -> bool:
        """Submit or defer what was read; whether there is room for another page."""
        while self._read:
            if not self._has_room(now):
                return False
            self._take_or_defer(self._read.popleft(), batch, now)
        return len(self._deferred) < self._config.page and self._has_room(now)

    def _read_page(self) -> bool:
        """Read on, or from the beginning where nothing is under way. False where nothing was there."""
        if not self._more_is_likely:
            return False
        if not self._flights and not self._deferred:
            if self._settled:
                return False  # they would be read, and published, again
            self._after = 0
        page = self._sendable_page()
        self._more_is_likely = len(page) == self._config.page
        if not page:
            return False
        self._after = page[-1].sequence
        self._read.extend(page)
        return True

    def _sendable_page(self) -> list[OutboxMessage]:
        """The next page, all of it noted as perhaps sent: what is in hand is never merged away any more."""
        while True:
            page = self._outbox.pending(self._after, self._config.page)
            if not page or page[-1].sequence <= self._reserved:
                return page
            up_to = page[-1].sequence + self._config.reserve_ahead
            self._outbox.reserve(up_to)
            self._reserved = up_to
            # Read once more: some of it may have been merged before it was noted.

    def _has_room(self, now: float) -> bool:
        if len(self._flights) >= self._config.window or self._bytes >= self._config.window_bytes:
            return False
        return self._bucket is None or self._bucket.has_token(now)

    def _take_or_defer(self, message: OutboxMessage, batch: list[OutboxMessage], now: float) -> None:
        paths = _paths(message)
        for path in paths:
            if self._busy.touches(path) or self._deferred_paths.touches(path):
                self._defer(message)
                return
        if self._bucket is not None:
            self._bucket.take()
        for path in paths:
            self._busy.add(path)
        self._bytes += len(message.body)
        self._flights[message.sequence] = _Flight(message, now)
        batch.append(message)

    def _defer(self, message: OutboxMessage) -> None:
        self._deferred.append(message)
        for path in _paths(message):
            self._deferred_paths.add(path)

    def _land(self, message: OutboxMessage) -> None:
        self._bytes -= len(message.body)
        for path in _paths(message):
            self._busy.remove(path)
            if self._deferred_paths.touches(path):
                self._recheck_deferred = True

    def _forget_read(self) -> None:
        self._read.clear()
        self._deferred.clear()
        self._deferred_paths.clear()
        self._recheck_deferred = False
        self._after = 0
        self._more_is_likely = True


def _paths(message: OutboxMessage) -> tuple[bytes, ...]:
    return (message.path,) if message.old_path is None else (message.path, message.old_path)
