"""What commands ask of the running service, and how they see that one is running.

Owns no thread. The service's control loop takes and finishes; a command in another process asks and
waits.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, delete, insert, or_, select, text, update

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import instances, requests
from file_watcher.errors import CatalogUnavailable

_KEPT_NS: Final = 86_400 * 10**9
"""Answers are kept for a day, for whoever looks at the table."""

RequestState = Literal["new", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request and, once it is finished, its result."""

    id: int
    kind: str
    arguments: Mapping[str, Any]
    state: RequestState
    result: Mapping[str, Any] | None

    @property
    def is_finished(self) -> bool:
        """Whether the service has answered."""
        return self.state in {"done", "failed"}


@dataclass(frozen=True, slots=True)
class Instance:
    """A service that works, or worked, with this catalog."""

    instance_id: str
    pid: int
    host: str
    version: str
    started_ns: int
    heartbeat_ns: int
    detail: Mapping[str, Any]
    libraries: Sequence[Mapping[str, Any]] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    last_event_ns: int | None = None

    def age_seconds(self, now_ns: int) -> float:
        """How long ago it last said that it lives."""
        return max(0.0, (now_ns - self.heartbeat_ns) / 1e9)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a heartbeat tells of the work: `libraries` by name and state, `counters` since the start."""

    libraries: Sequence[Mapping[str, Any]] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    last_event_ns: int | None = None


class Requests:
    """The requests for one instance; with None those of everybody, as in a catalog with one owner.

    All methods raise CatalogUnavailable or CatalogError.
    """

    def __init__(self, database: Database, instance_id: str | None = None) -> None:
        self._database = database
        self._instance_id = instance_id
        mine = "" if instance_id is None else " AND (instance_id IS NULL OR instance_id = ?)"
        self._any_new = database.driver_sql(f"SELECT 1 FROM fw_requests WHERE state = ?{mine} LIMIT 1")  # noqa: S608 - constants
        self._about_mine = ("new",) if instance_id is None else ("new", instance_id)
        self._perhaps_taken: set[int] = set()
        """Taken in commits whose outcome was never heard: nobody works on them yet."""

    def ask(self, kind: str, arguments: Mapping[str, Any]) -> int:
        """Leave a request for the running service; returns its number. Answers older than a day are dropped."""
        now_ns = time.time_ns()
        values = {
            "instance_id": self._instance_id,
            "kind": kind,
            "arguments": json.dumps(dict(arguments)),
            "state": "new",
            "created_ns": now_ns,
        }
        with self._database.writing() as connection:
            connection.execute(delete(requests).where(requests.c.finished_ns < now_ns - _KEPT_NS))
            key = connection.execute(insert(requests).values(values)).inserted_primary_key
        assert key is not None
        number: int = key[0]
        return number

    def take(self) -> list[Request]:
        """Take all new requests, oldest first; they are running from now on. Cheap where there is none.

        Called by one thread. What a call took that then raised CatalogUnavailable is taken by the next one.
        """
        with self._database.briefly():
            # In the driver's words: it is asked ten times a second, and was two thirds of what idling costs.
            if not self._perhaps_taken and not self._database.ask(self._any_new, self._about_mine):
                return []
        lost = (requests.c.state == "running") & requests.c.id.in_(self._perhaps_taken)
        new = ((requests.c.state == "new") & self._mine()) | lost
        rows: Sequence[Row[Any]] = ()
        try:
            with self._database.writing() as connection:
                rows = connection.execute(
                    select(requests).where(new).order_by(requests.c.id).with_for_update()
                ).all()
                numbers = [row.id for row in rows]
                connection.execute(update(requests).where(requests.c.id.in_(numbers)).values(state="running"))
        except CatalogUnavailable:
            self._perhaps_taken.update(row.id for row in rows)
            raise
        self._perhaps_taken.clear()
        return [_request_of(row, "running") for row in rows]

    def finish(self, request_id: int, result: Mapping[str, Any], *, failed: bool = False) -> None:
        """Answer a request."""
        with self._database.writing() as connection:
            write_answer(connection, request_id, result, failed=failed)

    def reopen_unfinished(self) -> int:
        """Make new again what a service that ended had taken; called by the owner at its start."""
        left = (requests.c.state == "running") & self._mine()
        with self._database.writing() as connection:
            return connection.execute(update(requests).where(left).values(state="new")).rowcount

    def wait(
        self, request_id: int, timeout: float, poll: float = 0.05, stop: threading.Event | None = None
    ) -> Request:
        """Wait for the answer, at most `timeout` seconds or until `stop`; returns the request as it then is.

        Raises KeyError where there is no such request.
        """
        stop = stop or threading.Event()
        deadline = time.monotonic() + timeout
        while True:
            request = self._find(request_id)
            remaining = deadline - time.monotonic()
            if request.is_finished or remaining <= 0 or stop.wait(min(poll, remaining)):
                return request

    def _find(self, request_id: int) -> Request:
        with self._database.reading() as connection:
            row = connection.execute(select(requests).where(requests.c.id == request_id)).first()
        if row is None:
            raise KeyError(request_id)
        return _request_of(row, row.state)

    def _mine(self) -> Any:
        if self._instance_id is None:
            return text("1 = 1")
        return or_(requests.c.instance_id.is_(None), requests.c.instance_id == self._instance_id)


def write_answer(
    connection: Connection, request_id: int, result: Mapping[str, Any], *, failed: bool = False
) -> None:
    """Answer a request inside a transaction: the answer stands with what else is written, or not at all."""
    values = {
        "state": "failed" if failed else "done",
        "result": json.dumps(dict(result)),
        "finished_ns": time.time_ns(),
    }
    connection.execute(update(requests).where(requests.c.id == request_id).values(values))


def read_answer(connection: Connection, request_id: int) -> Mapping[str, Any] | None:
    """The answer to a request that was done; None where it was not."""
    done = (requests.c.id == request_id) & (requests.c.state == "done")
    result: str | None = connection.execute(select(requests.c.result).where(done)).scalar()
    return None if result is None else json.loads(result)


_NO_VITALS: Final = Vitals()
_GONE_NS: Final = 7 * 86_400 * 10**9
"""An instance that was not retired is shown as dead for a week, then forgotten."""


class Instances:
    """The heartbeats of the services. All methods raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database, version: str) -> None:
        self._database = database
        self._version = version
        self._started_ns = time.time_ns()

    def beat(self, instance_id: str, detail: Mapping[str, Any], vitals: Vitals = _NO_VITALS) -> None:
        """Say that this process works as that instance, where it is found, and how it is."""
        values = {
            "instance_id": instance_id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "version": self._version,
            "started_ns": self._started_ns,
            "heartbeat_ns": time.time_ns(),
            "detail": json.dumps(dict(detail)),
            "libraries": json.dumps([dict(library) for library in vitals.libraries]),
            "counters": json.dumps(dict(vitals.counters)),
            "errors": vitals.errors,
            "last_event_ns": vitals.last_event_ns,
        }
        with self._database.writing() as connection:
            connection.execute(_BEAT, values)
            connection.execute(delete(instances).where(instances.c.heartbeat_ns < time.time_ns() - _GONE_NS))

    def retire(self, instance_id: str) -> None:
        """Say that the instance ended in order."""
        with self._database.writing() as connection:
            connection.execute(delete(instances).where(instances.c.instance_id == instance_id))

    def live(self, now_ns: int, max_age_seconds: float) -> list[Instance]:
        """The instances whose last heartbeat is not older than that, by name."""
        return [each for each in self.all() if each.heartbeat_ns >= now_ns - int(max_age_seconds * 1e9)]

    def all(self) -> list[Instance]:
        """All that were not retired, also those that went without a word, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(instances).order_by(instances.c.instance_id)).all()
        return [_instance_of(row) for row in rows]


_BEATEN: Final = (
    *("pid", "host", "version", "started_ns", "heartbeat_ns", "detail"),
    *("libraries", "counters", "errors", "last_event_ns"),
)
_BEAT: Final = text(
    f"INSERT INTO fw_instances (instance_id, {', '.join(_BEATEN)}) "  # noqa: S608 - constants
    f"VALUES (:instance_id, {', '.join(':' + name for name in _BEATEN)}) "
    "ON CONFLICT (instance_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _BEATEN)
)


def _instance_of(row: Row[Any]) -> Instance:
    return Instance(
        row.instance_id,
        row.pid,
        row.host,
        row.version,
        row.started_ns,
        row.heartbeat_ns,
        json.loads(row.detail),
        json.loads(row.libraries or "[]"),
        json.loads(row.counters or "{}"),
        row.errors or 0,
        row.last_event_ns,
    )


def _request_of(row: Row[Any], state: RequestState) -> Request:
    result = None if row.result is None else json.loads(row.result)
    return Request(row.id, row.kind, json.loads(row.arguments), state, result)
