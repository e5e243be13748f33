"""The relay's end inside a program: takes its messages as RabbitMQ's publisher would, and hands them over.

Owns no thread: the relay's puts, the program's threads confirm.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Final

from file_watcher.circuit import Circuit, CircuitConfig
from file_watcher.embedding.event import MetadataSource, event_of
from file_watcher.embedding.handover import Handover, Parcel
from file_watcher.lifecycle import Deadline
from file_watcher.model import Health, OutboxMessage
from file_watcher.outlet import Source
from file_watcher.publishing.lane import Listener
from file_watcher.pulse import Progress

_FILE: Final = "file."
_SCANNED: Final = "library.scanned"


class InProcessDelivery:
    """A lifecycle.Stage, and the relay's lane. Notices about libraries are for nobody here.

    Without `existing`, what was there before the first scan of a folder was complete is not told.
    """

    def __init__(
        self,
        listener: Listener,
        source: Source,
        handover: Handover,
        metadata_source: MetadataSource,
        on_progress: Callable[[], None],
        *,
        existing: bool,
    ) -> None:
        """`on_progress()` is called when messages can be taken, and when the first scans are complete.

        Without `existing` those libraries are passed over at first that `source` calls unscanned.
        """
        self._listener = listener
        self._handover = handover
        self._metadata_source = metadata_source
        self._on_progress = on_progress
        self._tells_existing = existing
        self._roots: dict[int, bytes] = {}
        self._unknown: set[int] = set()
        """Whose first scan is not over yet, so that nothing of them is told."""
        self._started = threading.Event()
        self.expect(source)
        self.circuit = Circuit("program", CircuitConfig(), is_logged=False)

    def start(self) -> None:
        """Take messages from now on."""
        self._handover.attach(self._listener.on_confirmed)
        self._listener.on_ready(self)
        self._started.set()
        self._on_progress()

    def close(self) -> None:
        """Nothing to end: what was not taken stays in the outbox."""

    def join(self, deadline: Deadline) -> bool:  # noqa: ARG002 - a Stage is joined with one
        """Nothing to wait for."""
        return True

    def expect(self, source: Source) -> None:
        """These are the libraries from now on: at least those of before. Called before anything of a new one can come."""
        new = {each.id: each.root for each in source.libraries if each.id not in self._roots}
        if not self._tells_existing:
            self._unknown |= source.unscanned & new.keys()
        self._roots = {**self._roots, **new}
        self.source = source

    @property
    def is_started(self) -> bool:
        """Whether messages are taken."""
        return self._started.is_set()

    def unknown(self) -> frozenset[int]:
        """The libraries of which nothing is told yet, since their first scans are not over."""
        return frozenset(self._unknown)

    @property
    def where(self) -> str:
        """For the log."""
        return "this process"

    def progress(self) -> Progress:
        """There is no thread that could hang."""
        return Progress("program", 0, None)

    def health(self) -> Health:
        """A program that does not ask for events is slow, not ill."""
        return Health("program", ok=True, detail="Events go to this program.")

    def submit(self, messages: Sequence[OutboxMessage]) -> None:
        """See publishing.lane.Lane."""
        passed_over: list[OutboxMessage] = []
        parcels: list[Parcel] = []
        for message in messages:
            body = json.loads(message.body)
            library_id: int = body["library"]["id"]
            is_job = message.exchange is not None  # recorded by a service, which this catalog once served
            if is_job or message.queue is not None or not message.routing_key.startswith(_FILE):
                self._heed(message, library_id)
                passed_over.append(message)
            elif library_id in self._unknown:
                passed_over.append(message)
            else:
                event = event_of(message, body, self._roots[library_id], self._metadata_source)
                parcels.append(Parcel(message, event))
        if parcels:
            self._handover.put(parcels)
        if passed_over:
            self._listener.on_confirmed(passed_over)

    def _heed(self, notice: OutboxMessage, library_id: int) -> None:
        """The notice of a scan comes after all that the scan found."""
        if notice.routing_key == _SCANNED and library_id in self._unknown:
            self._unknown.discard(library_id)
            self._on_progress()
