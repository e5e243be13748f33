"""The messages of one channel that the broker has not confirmed yet. Pure; used by the publisher's thread.

Delivery tags count the publishes of a channel in confirm mode from 1. Confirms may come out of order
and for several at once; an unroutable message is first returned and then confirmed like any other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from file_watcher.model import OutboxMessage


class _Entry(NamedTuple):
    message: OutboxMessage
    published: float


class Confirmed(NamedTuple):
    """What an acknowledgement settled: routed to a queue, or returned because no queue wanted it."""

    routed: list[OutboxMessage]
    unrouted: list[OutboxMessage]


class Window:
    """Unconfirmed messages by delivery tag, oldest first."""

    def __init__(self) -> None:
        # A plain dict would step over the places of what was settled at its front, again and again.
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._returned: set[str] = set()
        self._last_tag = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: OutboxMessage, now: float) -> None:
        """Count a message that was handed to the channel. To be called only after the publish returned:
        one that raised used up no tag."""
        self._last_tag += 1
        self._entries[self._last_tag] = _Entry(message, now)

    def returned(self, event_id: str) -> None:
        """Remember that the broker found no queue for the message; its acknowledgement follows."""
        self._returned.add(event_id)

    def acknowledge(self, tag: int, *, multiple: bool) -> Confirmed:
        """Settle the tag, or every tag up to it (0 with multiple: all). Unknown tags settle nothing."""
        messages = self._take(tag, multiple=multiple)
        if not self._returned:
            return Confirmed(messages, [])
        settled = Confirmed([], [])
        for message in messages:
            came_back = message.event_id in self._returned
            (settled.unrouted if came_back else settled.routed).append(message)
        self._returned.difference_update(message.event_id for message in settled.unrouted)
        return settled

    def refuse(self, tag: int, *, multiple: bool) -> Sequence[OutboxMessage]:
        """Take out what the broker would not store, oldest first, so that it can be published again."""
        messages = self._take(tag, multiple=multiple)
        self._returned.difference_update(message.event_id for message in messages)
        return messages

    def oldest(self) -> float | None:
        """When the message was published that waits longest; None when none waits."""
        for entry in self._entries.values():
            return entry.published
        return None

    def _take(self, tag: int, *, multiple: bool) -> list[OutboxMessage]:
        if not multiple:
            entry = self._entries.pop(tag, None)
            return [] if entry is None else [entry.message]
        upto = tag or self._last_tag
        settled = []
        for known in self._entries:
            if known > upto:
                break
            settled.append(known)
        return [self._entries.pop(known).message for known in settled]
