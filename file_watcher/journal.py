"""The journal: keeps the service's log in the database as well, where a whole fleet's can be read at one place.

Owns the thread `fw-journal`, which writes what has gathered, at most once a second, in one small transaction. The
threads that log never wait: what does not fit into the queue is counted, and told as one line when there is room.
While the database is away lines wait; what the journal has to say of itself goes to the log's stream alone.
A log that cannot be kept is no reason to start the service anew: a hang of the thread is told, but not vital.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import structlog

from file_watcher.catalog.journal import LogLine, LogLines
from file_watcher.errors import CatalogError, CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health
from file_watcher.ops.listening import HeardLine, Listener
from file_watcher.pulse import Progress, Pulse

log = structlog.get_logger(__name__)

OFF: Final = "off"
_THREAD: Final = "fw-journal"
_LOST_EVENT: Final = "journal_lines_lost"


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """Whose journal it is, and from which level on lines are kept: `warning`, `info` or `off`.

    `room` lines wait at most (about 1 kB each), `batch` go into one transaction. `pause_seconds` lie between two
    writes, `retry_seconds` between two tries while the database is away.
    """

    instance_id: str
    level: str = "warning"
    room: int = 2_000
    batch: int = 500
    pause_seconds: float = 1.0
    retry_seconds: float = 2.0
    refused_seconds: float = 60.0
    """After lines that the database would not have: a right is missing, or a table."""


class _Outcome(Enum):
    """What became of a batch."""

    WRITTEN = "written"
    AWAY = "away"
    REFUSED = "refused"


class Waiting:
    """The lines that wait, bounded. Any thread may offer; one thread takes. Nobody is kept waiting."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._lines: deque[LogLine] = deque()
        self._lost = 0

    def has_room(self) -> bool:
        """Whether an offer would be taken; where not, the line counts as lost."""
        with self._lock:
            if len(self._lines) < self._room:
                return True
            self._lost += 1
            return False

    def offer(self, line: LogLine) -> None:
        """Put the line at the end, or count it as lost."""
        with self._lock:
            if len(self._lines) < self._room:
                self._lines.append(line)
            else:
                self._lost += 1

    def take(self, most: int) -> tuple[list[LogLine], int]:
        """The oldest lines, and how many got lost since the last time."""
        with self._lock:
            taken = [self._lines.popleft() for _ in range(min(most, len(self._lines)))]
            lost, self._lost = self._lost, 0
        return taken, lost

    def count(self) -> int:
        """How many lines wait."""
        with self._lock:
            return len(self._lines)

    def count_lost(self, number: int) -> None:
        """Lines that were taken, but could not be kept."""
        with self._lock:
            self._lost += number

    def __bool__(self) -> bool:
        return bool(self._lines or self._lost)


class Journal:
    """A lifecycle.Stage. `listen` may be called before `start`: what is logged meanwhile waits."""

    def __init__(self, config: JournalConfig, lines: LogLines, on_failure: FailureReport) -> None:
        self._config = config
        self._lines = lines
        self._on_failure = on_failure
        self._waiting = Waiting(config.room)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._level = config.level
        self._listener: Listener | None = None
        self._pulse = Pulse(_THREAD, is_vital=False)
        self._problem: str | None = None

    def listen(self) -> None:
        """Take the lines that are logged from now on, until the end is asked for."""
        if self._level != OFF and self._listener is None:
            self._listener = Listener(self._hear, self._level, _THREAD, self._waiting.has_room)
            self._listener.begin()

    def adjust(self, level: str) -> None:
        """Keep lines from another level on: `warning`, `info` or `off`. Called by one thread."""
        if self._stop.is_set():
            return
        self._level = level
        if level == OFF:
            self._end_listening()
        elif self._listener is None:
            self.listen()
        else:
            self._listener.listen_from(level)

    def start(self) -> None:
        """Start the thread. The catalog is open and of our schema."""
        self._threads.append(spawn(_THREAD, self._run, self._on_failure))

    def close(self) -> None:
        """Take no more lines; those that wait are written once more, as far as that goes at once."""
        self._end_listening()
        self._stop.set()
        self._wake.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where the thread still ran at the deadline."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """How far the thread is."""
        return self._pulse.look()

    def health(self) -> Health:
        """Whether the database takes the log's lines. Never a reason not to be ready."""
        facts = {"level": self._level, "waiting": self._waiting.count()}
        if self._problem is not None:
            return Health("journal", ok=True, detail=f"Lines are not kept: {self._problem}", facts=facts)
        is_off = self._level == OFF
        words = "Nothing of the log is kept in the database." if is_off else "The database keeps the log."
        return Health("journal", ok=True, detail=words, facts=facts)

    def _end_listening(self) -> None:
        if self._listener is not None:
            self._listener.end()
            self._listener = None

    def _hear(self, heard: HeardLine) -> None:
        """Called by the threads that log."""
        library = heard.fields.get("library")
        self._waiting.offer(
            LogLine(
                heard.created_ns,
                self._config.instance_id,
                heard.level,
                heard.event,
                library if isinstance(library, str) else None,
                heard.fields,
            )
        )
        self._wake.set()

    # -- the journal's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[LogLine] = []
        while not self._stop.is_set():
            if not batch:
                self._rest()
                batch = self._next()
            if not batch:
                continue
            self._pulse.at("writes lines")
            outcome = self._write(batch)
            if outcome is not _Outcome.AWAY:
                batch = []
            self._pulse.rest()
            self._stop.wait(self._pause_after(outcome))
        self._flush(batch)

    def _rest(self) -> None:
        """Until there is something to write, or the end is asked for."""
        self._wake.clear()
        if not self._waiting and not self._stop.is_set():
            self._pulse.rest()
            self._wake.wait()

    def _flush(self, batch: list[LogLine]) -> None:
        """Write what waits, as long as that succeeds: nobody waits for a database's return at the end."""
        while rest := batch or self._next():
            batch = []
            if self._write(rest) is not _Outcome.WRITTEN:
                return

    def _pause_after(self, outcome: _Outcome) -> float:
        return {
            _Outcome.WRITTEN: self._config.pause_seconds,
            _Outcome.AWAY: self._config.retry_seconds,
            _Outcome.REFUSED: self._config.refused_seconds,
        }[outcome]

    def _next(self) -> list[LogLine]:
        lines, lost = self._waiting.take(self._config.batch)
        if lost:
            fields = {"count": lost, "effect": "they are in the log's stream alone"}
            me = self._config.instance_id
            lines.append(LogLine(time.time_ns(), me, "warning", _LOST_EVENT, None, fields))
        return lines

    def _write(self, lines: list[LogLine]) -> _Outcome:
        try:
            self._lines.append(lines)
        except CatalogUnavailable as exc:
            self._note_problem(str(exc), "lines wait until it is back")
            return _Outcome.AWAY
        except CatalogError as exc:
            # Trying again would not help, and a log that cannot be kept is no reason to watch nothing.
            self._note_problem(str(exc), "lines are in the log's stream alone")
            self._waiting.count_lost(_lost_with(lines))
            return _Outcome.REFUSED
        self._problem = None
        return _Outcome.WRITTEN

    def _note_problem(self, reason: str, effect: str) -> None:
        if reason != self._problem:
            log.warning("journal_not_written", reason=reason, effect=effect)
        self._problem = reason


def _lost_with(lines: Sequence[LogLine]) -> int:
    """How many lines are lost with these, where one may itself stand for others."""
    return sum(int(line.fields.get("count", 1)) if line.event == _LOST_EVENT else 1 for line in lines)
