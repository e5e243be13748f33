"""The open windows of jobs: written with the events that they count, removed with the job that they become.

Owns no thread. `WindowWriter` works inside the transactions of whoever commits events, `JobWindows` opens its own.
A window is therefore in the catalog exactly when its events are, and gone exactly when its job is in the outbox.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.messages import MessageWriter, NewMessage
from file_watcher.jobs.job import OpenWindow, WindowChange
from file_watcher.model import Library, display

_CHUNK: Final = 200
"""Keys asked for in one statement (SQLite's older versions allow 999 values)."""
_COLUMNS: Final = (
    "fw_job_windows.id, library_id, libraries.name, libraries.type, libraries.path, dedupe_key, "
    "fw_job_windows.type, queue, fw_job_windows.path, trigger, events, count, window_start_ns, due_ns"
)

Word = Callable[[OpenWindow], NewMessage | None]
"""Makes the message of a window that is closed; None where nobody is to be told."""


class Lane(NamedTuple):
    """The windows of one library that become jobs of one type in one queue: a rate is a lane's."""

    library_id: int
    type: str
    queue: str


@dataclass(slots=True)
class _Sum:
    """What a transaction adds to one window."""

    first: WindowChange
    events: Counter[str] = field(default_factory=Counter)


class WindowWriter:
    """Counts events in windows, inside transactions that somebody else opened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.driver_sql(
            "INSERT INTO fw_job_windows (library_id, dedupe_key, type, queue, path, path_text, trigger, events, "
            "count, window_start_ns, due_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self._update = database.driver_sql(
            "UPDATE fw_job_windows SET events = ?, count = ? WHERE dedupe_key = ?"
        )

    def write(self, connection: Connection, changes: Sequence[WindowChange]) -> None:
        """Open or add to the windows. The caller has taken its turn at the outbox, so nobody else does so now."""
        sums: dict[str, _Sum] = {}
        for change in changes:
            sums.setdefault(change.key, _Sum(change)).events[change.event] += 1
        if not sums:
            return
        known = self._known(connection, list(sums))
        opened = [_values(each) for key, each in sums.items() if key not in known]
        added = [_added(each, known[key]) for key, each in sums.items() if key in known]
        if opened:
            connection.exec_driver_sql(self._insert, opened)
        if added:
            connection.exec_driver_sql(self._update, added)

    def _known(self, connection: Connection, keys: Sequence[str]) -> dict[str, Mapping[str, int]]:
        """The counts of those that are open."""
        known: dict[str, Mapping[str, int]] = {}
        for start in range(0, len(keys), _CHUNK):
            chunk = tuple(keys[start : start + _CHUNK])
            marks = ", ".join("?" * len(chunk))
            question = self._database.driver_sql(
                f"SELECT dedupe_key, events FROM fw_job_windows WHERE dedupe_key IN ({marks})"  # noqa: S608 - marks
            )
            for key, events in connection.exec_driver_sql(question, chunk):
                known[key] = json.loads(events)
        return known


class JobWindows:
    """The windows of one catalog. All methods raise CatalogUnavailable or CatalogError.

    `owned` are numbers of libraries; None means all.
    """

    def __init__(self, database: Database, leases: LeaseGuard = NO_LEASES) -> None:
        self._database = database
        self._leases = leases
        self._messages = MessageWriter(database)
        sql = database.driver_sql
        self._take = sql(
            f"SELECT {_COLUMNS} FROM fw_job_windows LEFT JOIN libraries ON libraries.id = library_id "  # noqa: S608
            "WHERE due_ns <= ? AND library_id = ? AND fw_job_windows.type = ? AND queue = ? "
            "ORDER BY due_ns, fw_job_windows.id LIMIT ?"
        )
        self._remove = sql("DELETE FROM fw_job_windows WHERE id = ?")

    def due(self, now_ns: int, owned: Collection[int] | None) -> dict[Lane, int]:
        """How many windows of each lane are due, lanes that have waited longest first."""
        question = (
            f"SELECT library_id, type, queue, count(*) FROM fw_job_windows WHERE due_ns <= ?{_among(owned)} "  # noqa: S608
            "GROUP BY library_id, type, queue ORDER BY min(due_ns)"
        )
        rows = self._database.ask(self._database.driver_sql(question), (now_ns,))
        return {Lane(*lane): waiting for *lane, waiting in rows}

    def next_due(self, after_ns: int, owned: Collection[int] | None) -> int | None:
        """When the next window is due after this time; None where none is."""
        question = f"SELECT min(due_ns) FROM fw_job_windows WHERE due_ns > ?{_among(owned)}"  # noqa: S608 - numbers
        ((due_ns,),) = self._database.ask(self._database.driver_sql(question), (after_ns,))
        return None if due_ns is None else int(due_ns)

    def close(self, lane: Lane, now_ns: int, limit: int, word: Word) -> list[OpenWindow]:
        """Replace up to `limit` due windows of a lane by their messages, in one transaction; returns them.

        `word` is called inside of it and must not block. Raises LeaseLost where the library is another's.
        """
        with self._database.writing() as connection:
            self._messages.take_turn(connection)
            self._leases.confirm(connection, {lane.library_id})
            rows = connection.exec_driver_sql(self._take, (now_ns, *lane, limit)).all()
            windows = [_window_of(row) for row in rows]
            if windows:
                connection.exec_driver_sql(self._remove, [(window.row_id,) for window in windows])
            messages = [message for window in windows if (message := word(window)) is not None]
            self._messages.write(connection, messages)
        return windows

    def hasten_future(self, now_ns: int, owned: Collection[int] | None) -> None:
        """Let windows be due now that were opened later than now: the clock was set back in between.
        Reads all windows."""
        early = f"SELECT 1 FROM fw_job_windows WHERE window_start_ns > ?{_among(owned)} LIMIT 1"  # noqa: S608
        if not self._database.ask(self._database.driver_sql(early), (now_ns,)):
            return
        hasten = f"UPDATE fw_job_windows SET due_ns = ? WHERE window_start_ns > ?{_among(owned)}"  # noqa: S608
        with self._database.writing() as connection:
            self._messages.take_turn(connection)
            connection.exec_driver_sql(self._database.driver_sql(hasten), (now_ns, now_ns))


def _among(owned: Collection[int] | None) -> str:
    """The condition that narrows to these libraries."""
    return "" if owned is None else f" AND library_id IN ({', '.join(map(str, sorted(owned))) or 'NULL'})"


def _values(opened: _Sum) -> tuple[Any, ...]:
    first = opened.first
    return (
        first.library_id,
        first.key,
        first.type,
        first.queue,
        first.path,
        display(first.path),
        first.trigger,
        json.dumps(opened.events),
        opened.events.total(),
        first.at_ns,
        first.due_ns,
    )


def _added(added: _Sum, known: Mapping[str, int]) -> tuple[Any, ...]:
    events = Counter(known) + added.events
    return json.dumps(events), events.total(), added.first.key


def _window_of(row: Sequence[Any]) -> OpenWindow:
    row_id, library_id, name, kind, root, key, *rest = row
    library = None if root is None else _library_of(library_id, name, kind, root)
    type_, queue, path, trigger, events, count, start_ns, due_ns = rest
    return OpenWindow(
        row_id,
        library_id,
        library,
        key,
        type_,
        queue,
        bytes(path),
        trigger,
        json.loads(events),
        count,
        start_ns,
        due_ns,
    )


def _library_of(library_id: int, name: str | None, kind: str | None, root: str) -> Library:
    """Another application's row may leave name and type out."""
    folder = root.rstrip("/").rpartition("/")[2] or "root"
    return Library(library_id, name or folder, kind or "production", root.encode("utf-8", "replace"))
