"""What relay and publisher say to each other: the relay gets a lane while a connection lasts, and word of
what became of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from file_watcher.model import OutboxMessage


class Lane(Protocol):
    """The way to the broker while one connection lasts."""

    @property
    def where(self) -> str:
        """Host, port and vhost, for people."""

    def submit(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish in this order. Never blocks and may be called from any thread; after the loss of the
        connection the messages are dropped, for `on_lost` has told or will tell so."""


class Listener(Protocol):
    """Who is told what became of the messages. Called on the publisher's thread; must not block."""

    def on_ready(self, lane: Lane) -> None:
        """A connection stands; messages may be submitted to this lane until `on_lost`."""

    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None:
        """The broker has the messages and is responsible for them now."""

    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None:
        """The broker took the messages, but no queue wanted them."""

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None:
        """The messages cannot be published; why was told. Nothing more is tried with them."""

    def on_lost(self) -> None:
        """The lane is gone; whatever was submitted and not confirmed is unknown and was forgotten."""
