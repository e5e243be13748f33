"""Merges never-sent messages when too many wait: what the outbox needs is then bounded by the number of files.

Two kinds of messages are superfluous, and nothing else is ever taken away:

- *Superseded*: each of its paths (`path` and `old_path`) is touched by a later message that was never sent
  either. For each path the last message stays, where and as it was, so the net effect of the rest, applied in
  order, is the same; that versions are missing shows in `previous_version`.
- *Came and went*: the first message of a path is its `created`, the last one its `deleted`, and none of those in
  between concerns another path or belongs to a snapshot. Nothing was there before and nothing is after. That the
  first message tells what was there before holds only if none before it was merged away: hence it must have
  been recorded since the last run. They are taken away from the front, so that a run which is cut short leaves
  a `deleted` too many at worst.

"Never sent" is a durable mark (`Outbox.reserve`) that the relay sets before it submits, and that is looked at
again in each transaction that deletes. Messages that are recorded meanwhile only make more of the older ones
superfluous. Notices and snapshots are left alone.

Owns no thread: the thread that keeps house calls, and may be kept for a minute with a million messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Ours, Outbox
from file_watcher.catalog.touches import Span, Superfluous, Touches
from file_watcher.errors import CatalogError, CatalogUnavailable

log = structlog.get_logger(__name__)

_CHUNK: Final = 500
"""Messages deleted in one transaction: a few milliseconds, which is how long a commit may have to wait."""
_GROWTH: Final = 1.25
"""Merging again pays once so many times what the last run left are waiting."""
_PAUSE_SECONDS: Final = 60.0
"""After a run that was broken off: the want (of room for temporary files) may last, and a run costs much."""
_OVER: Final = 0.5
"""Below this part of the limit the outage counts as over, and the next one is told anew."""


class Compaction:
    """Keeps one outbox at its limit, as far as that is possible without dropping anything.

    Raises CatalogUnavailable; what was merged until then stays so.
    """

    def __init__(
        self, database: Database, outbox: Outbox, limit: int, on_merged: Callable[[int], None]
    ) -> None:
        """`limit` is in messages. `on_merged(count)` is called for each transaction that took some away."""
        self._database = database
        self._outbox = outbox
        self._limit = limit
        self._on_merged = on_merged
        self._threshold = limit
        self._not_before = float("-inf")
        self._trusted_after = 0
        self._ours: Ours | None = None
        """The libraries that `_trusted_after` holds for."""
        self._is_told = False

    def keep_limit(self, depth: int, should_stop: Callable[[], bool]) -> int:
        """Merge where `depth` messages waiting are too many; returns how many were taken away. Blocks.

        `depth` may be a little old; where it is too much it is counted anew.
        """
        ours = self._outbox.ours
        if self._ours != ours:
            # Another process may have merged what waits now: its first messages prove nothing.
            self._trusted_after, self._ours = self._outbox.last_sequence(), ours
        if depth <= self._limit * _OVER:
            self._threshold, self._is_told = self._limit, False
        if depth <= self._threshold or time.monotonic() < self._not_before:
            return 0
        # It may have been counted before the last run ended: what that left decides when the next one pays.
        depth = self._outbox.depth()[0]
        if depth <= self._threshold:
            return 0
        self._warn(depth)
        began = time.monotonic()
        try:
            merged = self._run(ours, self._trusted_after, should_stop)
        except CatalogError as exc:
            self._give_up(exc, depth)
            return 0
        except CatalogUnavailable as exc:
            self._put_off(exc)
            raise
        left = self._outbox.depth()[0]
        self._threshold = max(self._limit, int(left * _GROWTH))
        log.info(
            "outbox_merged",
            merged=merged,
            left=left,
            limit=self._limit,
            seconds=round(time.monotonic() - began, 2),
        )
        return merged

    def _run(self, ours: Ours, trusted_after: int, should_stop: Callable[[], bool]) -> int:
        with self._database.reading() as connection:
            floor = self._outbox.sent_up_to(connection, ours)
        span = (floor, self._outbox.last_sequence())
        self._outbox.note_merging(*span)
        self._trusted_after = span[1]
        session = self._database.session()
        try:
            touches = Touches(self._database, session, ours.condition)
            touches.make()
            for page in touches.pages(span):
                if should_stop():
                    return 0
                touches.note(page)
            return self._remove_superfluous(
                lambda page: touches.superfluous(page, trusted_after), touches.pages(span), ours, should_stop
            )
        finally:
            self._database.end_session(session)

    def _remove_superfluous(
        self,
        superfluous: Callable[[Span], list[Superfluous]],
        pages: Iterable[Span],
        ours: Ours,
        should_stop: Callable[[], bool],
    ) -> int:
        merged = 0
        for page in pages:
            if should_stop():
                return merged
            found = superfluous(page)
            for start in range(0, len(found), _CHUNK):
                if start and should_stop():
                    return merged
                merged += self._remove(found[start : start + _CHUNK], ours)
        return merged

    def _remove(self, messages: list[Superfluous], ours: Ours) -> int:
        removed = self._outbox.remove_never_sent(messages, ours)
        if removed:
            self._on_merged(removed)
        return removed

    def _give_up(self, error: CatalogError, depth: int) -> None:
        """Until much more waits. Merging only saves room: no reason to end the service."""
        self._threshold = int(depth * _GROWTH)
        log.error(
            "outbox_not_merged",
            reason=str(error),
            effect="all events are kept as they are, and need room until the broker is back",
            note="on PostgreSQL our user needs GRANT TEMPORARY ON DATABASE, and both kinds room for temporary files",
        )

    def _put_off(self, error: CatalogUnavailable) -> None:
        self._not_before = time.monotonic() + _PAUSE_SECONDS
        log.warning(
            "outbox_merging_interrupted",
            reason=str(error),
            effect=f"it is tried again in {_PAUSE_SECONDS:g} s; until then all events are kept as they are",
            note="it needs a folder for temporary files (SQLITE_TMPDIR, TMPDIR, /tmp) with 200 MB for each million events",
        )

    def _warn(self, depth: int) -> None:
        if self._is_told:
            return
        self._is_told = True
        log.warning(
            "outbox_over_limit",
            waiting=depth,
            limit=self._limit,
            effect="unsent events of the same file are merged into the newest; nothing is dropped",
            note="the broker has been away or slow for long: look at why, or raise FILE_WATCH_OUTBOX_LIMIT",
        )
