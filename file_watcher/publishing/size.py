"""Makes messages fit the broker that is connected: what it takes at most is known only once it has refused one.

RabbitMQ closes the channel over a message that is larger than its `max_message_size` (16 MiB by default
since 4.0, 128 MiB before) and names the limit. Sending the same again would end in the same way for ever, so
what is too large then loses its tags, or all metadata; what cannot be cut is set aside.

Owns no thread; the publisher's thread calls everything, the counters may be read by any.
"""

from __future__ import annotations

import re
from typing import Final

import structlog
from pika.exceptions import ChannelClosedByBroker

from file_watcher.model import OutboxMessage, display
from file_watcher.publishing.message import cut_to

log = structlog.get_logger(__name__)

_REFUSAL: Final = re.compile(r"message size \d+ (?:is )?larger than (?:configured )?max size (\d+)")
"""RabbitMQ's words in rabbit_channel (3.8 to 4.x): its `configured max size`, or its absolute `max size`."""


def limit_in(error: BaseException | None) -> int | None:
    """The largest body, in bytes, that the broker takes, where it closed the channel over a larger one."""
    if not isinstance(error, ChannelClosedByBroker):
        return None
    found = _REFUSAL.search(error.reply_text)
    return None if found is None else int(found[1])


class SizeLimit:
    """The broker's limit, once it was learnt, and what became of the messages that were over it."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._told: set[str] = set()
        self.cut = 0
        self.set_aside = 0

    def learn(self, error: BaseException | None) -> bool:
        """Take the limit from the reason why a channel was closed. Whether that was news: only then is it
        of use to publish again at once."""
        limit = limit_in(error)
        if limit is None or (self._limit is not None and limit >= self._limit):
            return False
        self._limit = limit
        log.warning(
            "broker_limits_size",
            limit_bytes=limit,
            effect="larger messages go without their tags and say truncated",
            note="raise max_message_size in RabbitMQ's configuration to have them whole",
        )
        return True

    def forget(self) -> None:
        """The connection was lost for another reason: the next broker may take more."""
        self._limit = None

    def fit(self, message: OutboxMessage) -> bytes | None:
        """The body to publish: as recorded, or cut to the limit. None: it cannot be cut, and was told so."""
        limit, body = self._limit, message.body
        if limit is None or len(body) <= limit:
            return body
        fitting = cut_to(body, limit)
        if fitting is not None:
            self.cut += 1
            return fitting
        self.set_aside += 1
        self._tell_set_aside(message, limit)
        return None

    def _tell_set_aside(self, message: OutboxMessage, limit: int) -> None:
        """Once for each routing key: with a limit that small, most messages are over it."""
        if message.routing_key in self._told:
            return
        self._told.add(message.routing_key)
        log.error(
            "event_too_large",
            routing_key=message.routing_key,
            event_id=message.event_id,
            path=display(message.path),
            size_bytes=len(message.body),
            limit_bytes=limit,
            effect="such events are set aside as unrouted, so that they do not hold up the others",
            note="raise max_message_size in RabbitMQ's configuration",
        )
