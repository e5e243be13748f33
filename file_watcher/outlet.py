"""Where recorded messages go other than to a broker, and how full it may get there. Owns no thread.

The relay does not care who takes its messages: RabbitMQ's publisher, or a program that has the watcher inside
itself (`embedding`). Such a program may be slow for hours, and has no broker that keeps messages for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.circuit import Circuit
from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, Stage
from file_watcher.model import Health, Library
from file_watcher.publishing.lane import Listener
from file_watcher.pulse import Progress

_LOOK_SECONDS: Final = 0.02
"""Between two looks at how much waits: a program that takes 10,000 events a second takes 200 meanwhile."""


class Delivery(Stage, Protocol):
    """Takes the relay's messages: calls the relay as `publishing.lane.Listener` says."""

    @property
    def circuit(self) -> Circuit:
        """Whether it can be reached."""

    def progress(self) -> Progress:
        """How far its thread is."""

    def health(self) -> Health:
        """Whether messages can be delivered now; if not, why."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the messages are about: the watched libraries, and the ids of those `unscanned`, never seen whole.

    `waiting()` counts the messages that were recorded and not delivered; it raises CatalogUnavailable.
    """

    libraries: tuple[Library, ...]
    unscanned: frozenset[int]
    waiting: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Outlet:
    """Another end than the broker. `deliver` makes it; while more than `buffer` messages wait, no further file
    is looked at, unless the program `may_overflow`: it waits for us itself, and takes nothing meanwhile.

    `expect` is told of all libraries anew before one joins them.
    """

    deliver: Callable[[Listener, Source], Delivery]
    buffer: int
    expect: Callable[[Source], None]
    may_overflow: Callable[[], bool] = lambda: False


def source_of(rows: LibraryRows, libraries: Sequence[Library], waiting: Callable[[], int]) -> Source:
    """The source over these libraries. Raises CatalogUnavailable."""
    states = {library.id: rows.library_state(library.id) for library in libraries}
    unscanned = (key for key, state in states.items() if state is None or not state.first_scan_done)
    return Source(tuple(libraries), frozenset(unscanned), waiting)


class Backlog:
    """Holds up whoever would add to what waits, while it is too much."""

    def __init__(
        self, waiting: Callable[[], int], limit: int, may_overflow: Callable[[], bool] = lambda: False
    ) -> None:
        self._waiting = waiting
        self._limit = limit
        self._may_overflow = may_overflow
        self._pause = threading.Event()
        """Never set: it only measures time."""

    @classmethod
    def of(cls, outlet: Outlet | None, waiting: Callable[[], int]) -> Backlog | None:
        """What the outlet wants; None for the broker, since the outbox is there for its outages."""
        return None if outlet is None else cls(waiting, outlet.buffer, outlet.may_overflow)

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until fewer than the limit wait; False after `timeout` seconds. A catalog that does not answer
        holds up by itself."""
        deadline = Deadline(timeout)
        while self._is_full():
            if not deadline.remaining():
                return False
            self._pause.wait(min(_LOOK_SECONDS, deadline.remaining()))
        return True

    def _is_full(self) -> bool:
        if self._may_overflow():
            return False
        try:
            return self._waiting() >= self._limit
        except CatalogUnavailable:
            return False
