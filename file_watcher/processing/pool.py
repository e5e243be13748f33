"""The worker pool: a bounded queue of tickets, drained by threads that look, settle and hash, or have small media
read by child processes.

Owns the threads `fw-hash-1` … `fw-hash-N`, of which there may be more or fewer while it runs. Tags are read
elsewhere at the same time; an examination is handed on when all is there, so that no thread waits for tags. While the decider is behind no new file is
begun, so that it need not be waited for by anybody who hands on: the tag reader's thread may not be held up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import UNKNOWN, FileStat, Metadata, Observation, Source, Ticket, display
from file_watcher.processing.examine import Examination, MetadataFuture
from file_watcher.processing.fingerprint import Interrupted
from file_watcher.processing.slots import Slots
from file_watcher.processing.tags.errors import FileChanged, TagReaderClosed, TagsUnavailable
from file_watcher.processing.tags.whole import WholeFuture
from file_watcher.processing.ticket_queue import TicketQueue
from file_watcher.pulse import Own, Progress, Pulse
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

_CATALOG_PAUSE: Final = 1.0
"""Seconds until a path is looked at again whose row could not be read; its worker takes no other meanwhile,
so that a database that is away is asked once a second by each of them, however many paths are dirty."""
_IDLE_SECONDS: Final = 5.0
"""How long an idle worker waits for a ticket before it shows that it lives; a stop wakes it."""
_TURN_SECONDS: Final = 0.05
"""How long a worker that is alone at files waits for a decision: most take a third of that. Measured with 20,000 small
files, without that 10 of 100 a second fewer were imported, with 20 of 100 more CPU."""
_LOOK_SECONDS: Final = 0.2
"""How long one wait lasts before a worker asks again whether it is to stop."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """`threads` hash at once, `queue_size` tickets wait, `in_flight` files are being examined at most.

    `resize` takes others while it runs.
    """

    threads: int = 4
    queue_size: int = 1024
    in_flight: int = 100


class Sink(Protocol):
    """Where examinations go. None of the calls but those that wait may block."""

    def wait_for_room(self, timeout: float) -> bool:
        """Wait while too much is undecided; False after so many seconds."""

    def wait_while_deciding(self, timeout: float) -> None:
        """Wait until no decision is under way, at most so many seconds."""

    def submit(self, ticket: Ticket, examination: Examination) -> None:
        """Take a finished examination."""

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        """The path is to be looked at once more after so many seconds."""

    def rest(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        """The same, in the background: nothing is owed to it until then."""


class WorkerPool:
    """Examines tickets on N threads."""

    def __init__(
        self,
        config: PoolConfig,
        examine: Callable[[Ticket, float], Examination],
        sink: Sink,
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        self._examine = examine
        self._sink = sink
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._tickets = TicketQueue(config.queue_size)
        self._slots = Slots(max(config.in_flight, config.threads))
        self._stop = threading.Event()
        self._wanted = config.threads
        self._lock = threading.Lock()
        self._workers: dict[int, Pulse] = {}
        """Those that run, by number; guarded by the lock."""
        self._threads: list[threading.Thread] = []
        self._own = Own()
        self._handed_on = 0

    def start(self) -> None:
        """Start the threads."""
        self._start_missing()

    def resize(self, config: PoolConfig) -> None:
        """Work with so many threads and bounds from now on; called on one thread, and never blocks.

        No ticket is lost or examined twice: threads that are too many end after the file that they are at, and
        what waits, or is in flight, beyond a lower bound stays until its turn.
        """
        self._tickets.resize(config.queue_size)
        self._slots.resize(max(config.in_flight, config.threads))
        self._wanted = config.threads
        self._tickets.call_off()
        if not self._stop.is_set():
            self._start_missing()

    @property
    def threads(self) -> int:
        """How many threads there are to be."""
        return self._wanted

    def close(self) -> None:
        """Take no more tickets; files being read are given up between two blocks."""
        self._stop.set()
        self._tickets.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        with self._lock:
            threads = list(self._threads)
        return join_all(threads, deadline)

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called: asked between two blocks of a file."""
        return self._stop.is_set()

    def gives_up(self) -> bool:
        """Whether the file that the calling worker reads is no longer wanted; asked between two of its
        blocks, each of which is progress."""
        self._own.pulse.step()
        return self._stop.is_set()

    def wait_for_close(self, seconds: float) -> bool:
        """Wait so long, or until `close`."""
        return self._stop.wait(seconds)

    def put(self, ticket: Ticket, timeout: float) -> bool:
        """Queue a ticket; False where the queue stayed full for `timeout` seconds."""
        return self._tickets.put(ticket, timeout)

    def depth(self) -> int:
        """How many tickets wait in the queue."""
        return len(self._tickets)

    def progress(self) -> list[Progress]:
        """How far each of the workers is that there are now, and all of them together."""
        with self._lock:
            workers = [pulse.look() for pulse in self._workers.values()]
        return [*workers, self._queue_progress(workers)]

    def _queue_progress(self, workers: Sequence[Progress]) -> Progress:
        """Files may wait though no worker is at one: for their tags, or for a worker that never takes them."""
        waiting = len(self._tickets)
        is_wanted = waiting > 0 and self._sink.wait_for_room(0.0)
        steps = self._handed_on + sum(worker.steps for worker in workers)
        return Progress("workers", steps, f"{waiting} files wait to be read" if is_wanted else None)

    # -- the threads ---------------------------------------------------------------------------------

    def _start_missing(self) -> None:
        with self._lock:
            missing = [number for number in range(1, self._wanted + 1) if number not in self._workers]
            pulses = {number: Pulse(f"fw-hash-{number}") for number in missing}
            self._workers.update(pulses)
        started = [
            spawn(pulse.stage, partial(self._run, number, pulse), self._on_failure)
            for number, pulse in pulses.items()
        ]
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()] + started

    def _is_to_end(self, number: int) -> bool:
        """Whether the pool closes or the worker is one too many; what starts missing ones sees it as gone then."""
        with self._lock:
            is_too_many = number > self._wanted
            if is_too_many:
                del self._workers[number]
        return is_too_many or self._stop.is_set()

    def _run(self, number: int, pulse: Pulse) -> None:
        self._own.pulse = pulse
        while not self._is_to_end(number):
            if not self._sink.wait_for_room(_LOOK_SECONDS) or not self._slots.acquire(timeout=_LOOK_SECONDS):
                continue
            if self._tickets.is_left_to_one:
                # One after the other they get on faster than if they hand the interpreter's lock to and fro.
                self._sink.wait_while_deciding(_TURN_SECONDS)
            if (ticket := self._tickets.get(_IDLE_SECONDS)) is None:
                self._slots.release()
                continue
            began = time.monotonic()
            pulse.at("examines", ticket.path)
            bytes_read = self._work_on(ticket, began)
            self._tickets.done(began, bytes_read)
            pulse.rest()

    def _work_on(self, ticket: Ticket, now: float) -> int:
        """Examine the ticket, and say how many bytes were read; its slot is free again when the examination was
        handed on."""
        try:
            examination = self._examine(ticket, now)
        except Interrupted:
            self._slots.release()
        except CatalogUnavailable:
            self._telemetry.error("db")
            self._put_off(ticket, None, _CATALOG_PAUSE)
            self._own.pulse.rest()
            self._stop.wait(_CATALOG_PAUSE)
        except Exception:
            # One file's surprise must not cost the others their worker.
            log.exception("examination_failed", path=display(ticket.path))
            self._telemetry.error("hash")
            self._deliver(ticket, _cannot_tell(ticket))
        else:
            self._pass_on(ticket, examination)
            return _bytes_read(examination)
        return 0

    def _pass_on(self, ticket: Ticket, examination: Examination) -> None:
        if examination.rests:
            self._slots.release()
            self._handed_on += 1
            self._sink.rest(ticket, examination.stat, examination.again_after)
        elif examination.observation is None:
            self._put_off(ticket, examination.stat, examination.again_after)
        elif examination.whole is not None:
            examination.whole.add_done_callback(
                partial(self._take_whole, ticket, examination, examination.observation)
            )
        elif examination.tags is not None:
            examination.tags.add_done_callback(
                partial(self._take_tags, ticket, examination, examination.observation)
            )
        else:
            self._deliver(ticket, examination)

    def _take_whole(
        self, ticket: Ticket, examination: Examination, observation: Observation, whole: WholeFuture
    ) -> None:
        """Called by whoever resolved the future, as `_take_tags`."""
        try:
            found = whole.result()
        except TagReaderClosed:
            self._slots.release()
        except Exception as exc:
            if not isinstance(exc, FileChanged | TagsUnavailable):
                log.exception("tags_failed", path=display(ticket.path))
                self._telemetry.error("tags")
            self._leave_to_worker(ticket)
        else:
            if found.reading is None:
                self._leave_to_worker(ticket)
                return
            told = replace(
                observation,
                fingerprint=found.reading.fingerprint,
                read_at_ns=found.reading.read_at_ns,
                metadata=found.metadata,
            )
            self._deliver(ticket, replace(examination, observation=told, whole=None))

    def _leave_to_worker(self, ticket: Ticket) -> None:
        """No child could read what was seen: a worker looks again, and can tell why."""
        self._slots.release()
        self._tickets.put_back(replace(ticket, by_worker=True))

    def _take_tags(
        self, ticket: Ticket, examination: Examination, observation: Observation, tags: MetadataFuture
    ) -> None:
        """Called by whoever resolved the future; what escaped here would be swallowed there."""
        metadata: Metadata | None
        read_again = False
        try:
            metadata = tags.result()
        except FileChanged:
            # Not at once: it may be rewritten without end.
            self._put_off(ticket, None, examination.again_after)
            return
        except TagReaderClosed:
            # The service stops. Without its tags the file would be told wrongly, and never be read again.
            self._slots.release()
            return
        except Exception as exc:
            if isinstance(exc, TagsUnavailable):
                # Once more later, as a child may have died of something else; but not for ever.
                read_again = ticket.source is not Source.RECHECK
            else:
                log.exception("tags_failed", path=display(ticket.path))
                self._telemetry.error("tags")
            metadata = {"error": str(exc) or repr(exc)}
        told = replace(observation, metadata=metadata)
        self._deliver(ticket, replace(examination, observation=told, tags=None, read_again=read_again))

    def _put_off(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self._slots.release()
        self._handed_on += 1
        self._sink.again(ticket, stat, after)

    def _deliver(self, ticket: Ticket, examination: Examination) -> None:
        self._slots.release()
        self._handed_on += 1
        self._sink.submit(ticket, examination)


def _bytes_read(examination: Examination) -> int:
    seen = examination.observation
    if examination.stat is None or seen is None or seen.fingerprint is None:
        return 0
    return examination.stat.size


def _cannot_tell(ticket: Ticket) -> Examination:
    """Nothing is decided, nobody waits for it, and it is looked at again later."""
    return Examination(
        Observation(
            ticket.path,
            ticket.library,
            UNKNOWN,
            source=ticket.source,
            noticed=ticket.noticed,
            changed_ns=ticket.changed_ns,
        )
    )
