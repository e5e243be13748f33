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
- A message of a library whose lease is about to end, or is another's by now, is not sent: it stays in the outbox,
  and whoever owns the library publishes it, with the same id. Nothing later of that library goes out either
  before the outbox is read from the beginning.
- A library at its rate limit waits apart (`backlogs`): the others go on, but for what concerns the same files.
- A message counts as published only after its confirm, and what is confirmed is marked before the
  outbox is read from the beginning again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from file_watcher.model import OutboxMessage
from file_watcher.publishing.backlogs import Backlogs, Pacing
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.occupancy import Occupancy
from file_watcher.publishing.token_bucket import TokenBucket
from file_watcher.publishing.waiting import Outbox


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

    def __init__(
        self,
        outbox: Outbox,
        config: RelayConfig,
        may_publish: Callable[[int], bool] = lambda _library_id: True,
        pacing: Pacing | None = None,
    ) -> None:
        """`may_publish(library_id)` tells, at once, whether nobody else can own the library at this moment."""
        self._pacing = pacing or Pacing()
        self._backlogs = Backlogs(replace(self._pacing, rate_of=self._own_rate), config.page)
        self._may_publish = may_publish
        self._shut: set[int] = set()
        """Libraries of which something was not sent."""
        self._known: frozenset[int] = frozenset()
        """What was under way, or not marked yet, when reading began anew."""
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
        self._reserved: dict[int, int] = {}
        """By library, the mark that the outbox keeps."""
        self._more_is_likely = True
        self._rate = config.rate_limit
        self._bucket = TokenBucket(config.rate_limit) if config.rate_limit else None

    def set_rate(self, rate: float | None) -> None:
        """So many messages a second from now on, all libraries together; None for as fast as the broker takes
        them."""
        if rate != self._rate:
            self._rate = rate
            self._bucket = TokenBucket(rate) if rate else None

    # -- what happened ---------------------------------------------------------------------------

    def woken(self) -> None:
        """Something was recorded, or it is time to look whether something was."""
        self._more_is_likely = True

    def rewind(self) -> None:
        """Read from the beginning again, beside what is under way: the outbox may show more than it did."""
        self._forget_read()
        self._shut.clear()
        self._known = frozenset((*self._flights, *(item.message.sequence for item in self._settled)))

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
        self.rewind()

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
        if any(map(self._may_publish, self._shut)):
            self.rewind()
        batch: list[OutboxMessage] = []
        try:
            self._take_deferred(batch, now)
            self._take_held(batch, now)
            while self._take_read(batch, now) and self._read_page():
                pass
        finally:
            if batch:
                self._lane.submit(batch)

    def wait_seconds(self, now: float) -> float:
        """How long nothing is to be done unless something happens."""
        if self._settled:
            return max(0.0, self._settled_since + self._config.mark_seconds - now)
        if self._bucket is not None and (self._read or self._recheck_deferred or self._backlogs):
            # With a token at hand it is the window that is full, and a confirm will wake us.
            return self._bucket.wait_seconds(now) or self._config.poll_seconds
        held = self._backlogs.wait_seconds(now)
        return self._config.poll_seconds if held is None else min(held, self._config.poll_seconds)

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

    def _take_held(self, batch: list[OutboxMessage], now: float) -> None:
        """Submit or defer what its library's limit held up, reading on where that makes room."""
        while self._backlogs:
            self._read_on()
            taken = 0
            while len(self._deferred) < self._config.page and self._has_room(now):
                if (message := self._backlogs.next(now)) is None:
                    break
                self._take_or_defer(message, batch, now)
                taken += 1
            if not taken:
                return

    def _read_on(self) -> None:
        """Read some more of the libraries that were left behind, as far as the others were read at most."""
        up_to = self._read[0].sequence - 1 if self._read else self._after
        for library_id, after, count in self._backlogs.wanting():
            page = self._sendable_page(partial(self._outbox.pending_of, library_id, after, up_to, count))
            is_all = len(page) < count
            self._backlogs.read_on(
                library_id,
                page,
                max(after, up_to) if is_all else page[-1].sequence,
                is_all=is_all and not self._read,
            )

    def _take_read(self, batch: list[OutboxMessage], now: float) -> bool:
        """Submit, hold or defer what was read; whether there is room for another page."""
        while self._read:
            if not self._has_room(now) or self._backlogs.is_crowded:
                return False
            message = self._read.popleft()
            if message.sequence in self._known:
                continue
            if self._backlogs.admits(message, now):
                self._take_or_defer(message, batch, now)
            else:
                self._backlogs.hold(message)
        return len(self._deferred) < self._config.page and self._has_room(now)

    def _read_page(self) -> bool:
        """Read on, or from the beginning where nothing is under way. False where nothing was there."""
        if not self._more_is_likely:
            return False
        if not (self._flights or self._deferred or self._shut or self._backlogs):
            if self._settled:
                return False  # they would be read, and published, again
            self._after = 0
        left_behind = self._backlogs.left_behind
        page = self._sendable_page(
            partial(self._outbox.pending, self._after, self._config.page, left_behind), left_behind
        )
        self._more_is_likely = len(page) == self._config.page
        if not page:
            return False
        self._after = page[-1].sequence
        self._read.extend(page)
        return True

    def _sendable_page(
        self, read: Callable[[], list[OutboxMessage]], left_behind: Collection[int] = ()
    ) -> list[OutboxMessage]:
        """What is read, all of it noted as perhaps sent, but for what will be read again of those left behind: what
        is in hand is never merged away any more."""
        while True:
            page = read()
            beyond = {each.library_id for each in page if not self._is_noted(each)}
            unnoted = set(filter(self._may_publish, beyond.difference(left_behind)))
            if not unnoted:
                return page
            up_to = page[-1].sequence + self._config.reserve_ahead
            self._outbox.reserve(up_to, unnoted)
            self._reserved.update(dict.fromkeys(unnoted, up_to))
            # Read once more: some of it may have been merged before it was noted.

    def _has_room(self, now: float) -> bool:
        if len(self._flights) >= self._config.window or self._bytes >= self._config.window_bytes:
            return False
        return self._bucket is None or self._bucket.has_token(now)

    def _take_or_defer(self, message: OutboxMessage, batch: list[OutboxMessage], now: float) -> None:
        if self._is_shut(message):
            return
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

    def _is_shut(self, message: OutboxMessage) -> bool:
        """Whether it must not be sent, since its library may be another's, or an earlier one was not sent."""
        library_id = message.library_id
        if library_id not in self._shut:
            if self._is_noted(message) and self._may_publish(library_id):
                return False
            self._shut.add(library_id)
        return True

    def _is_noted(self, message: OutboxMessage) -> bool:
        return message.sequence <= self._reserved.get(message.library_id, -1)

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
        self._backlogs.clear()
        self._after = 0
        self._more_is_likely = True

    def _own_rate(self, library_id: int) -> float | None:
        """The library's limit, where it is not the one for all: that one holds anyway."""
        rate = self._pacing.rate_of(library_id)
        return None if rate == self._rate else rate


def _paths(message: OutboxMessage) -> tuple[bytes, ...]:
    return (message.path,) if message.old_path is None else (message.path, message.old_path)
