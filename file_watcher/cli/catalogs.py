"""Finds the catalog that a command means, and the service that works with it. Owns no thread.

On SQLite a service runs where somebody holds the lock of ownership, which the kernel drops when the process
ends. On PostgreSQL, which may be shared by services on many hosts, heartbeats tell.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.owner import is_owned
from file_watcher.catalog.requests import Instance, Instances
from file_watcher.catalog.schema import migrate, schema_state
from file_watcher.cli.places import catalog_url
from file_watcher.errors import RetryableError, UsageError
from file_watcher.settings import Settings
from file_watcher.version import VERSION

HEARTBEAT_AGE_SECONDS: Final = 35.0
"""A service says that it lives every 10 s; three in a row that failed mean that it does not."""

_START_IT: Final = "start it with: python -m file_watcher run"


class NoService(RetryableError):
    """No service works with the catalog that is meant."""


@dataclass(frozen=True, slots=True)
class Running:
    """The service that is meant; `instance` is None until its first heartbeat. `name` is for people."""

    instance_id: str | None
    instance: Instance | None
    name: str


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Database]:
    """The catalog, open, of whatever schema; never made here.

    Raises NoService where there is none, CatalogUnavailable or CatalogError.
    """
    database = Database(catalog_url(settings))
    if database.path is not None and not database.path.exists():
        raise NoService(f"No catalog is at {database.shown}: no service has run with it yet; {_START_IT}")
    try:
        database.open()
        yield database
    finally:
        database.close()


@contextmanager
def read_catalog(settings: Settings) -> Iterator[Database]:
    """The catalog, open and of our schema, for a command that is about nothing else.

    Raises UsageError where there is none, or one that the service has not upgraded yet; else as `open_catalog`.
    """
    database = Database(catalog_url(settings))
    try:
        if database.path is not None and not database.path.exists():
            raise UsageError(
                f"No catalog is at {database.shown}: no service has run with it yet; {_START_IT}, or say with "
                "--database-url or --instance-id which one is meant"
            )
        database.open()
        try:
            require_schema(database)
        except NoService as exc:
            raise UsageError(str(exc)) from exc
        yield database
    finally:
        database.close()


def require_schema(database: Database) -> None:
    """Raise CatalogError where the schema is a newer one, NoService where no service has made ours yet."""
    state = schema_state(database)
    if state == "newer":
        migrate(database)  # changes nothing, and says which version made it
    if state != "current":
        raise NoService(
            f"The catalog {database.shown} is {_STATE_WORDS.get(state, state)}; {_START_IT}, which upgrades it"
        )


_STATE_WORDS: Final = {"empty": "still empty", "older": "of an older file_watcher"}


def all_live(database: Database) -> list[Instance]:
    """The services that gave a sign of life lately."""
    if database.path is not None and is_owned(database.path) is None:
        return []  # a heartbeat of a service that was killed since
    return Instances(database, VERSION).live(time.time_ns(), HEARTBEAT_AGE_SECONDS)


def live_instances(database: Database, settings: Settings) -> list[Instance]:
    """The same; only INSTANCE_ID where it is set."""
    named = settings.instance_id
    return [each for each in all_live(database) if named is None or each.instance_id == named]


def find_running(database: Database, settings: Settings) -> Running:
    """The one service that a request is for.

    Raises NoService where none runs, UsageError where several do and none is named.
    """
    require_schema(database)
    live = live_instances(database, settings)
    if database.path is not None:
        return _owner_of(database, live)
    here = [instance for instance in live if instance.host == socket.gethostname()]
    candidates = here if len(live) > 1 and len(here) == 1 else live
    if len(candidates) > 1:
        names = ", ".join(instance.instance_id for instance in candidates)
        raise UsageError(
            f"Several services work with {database.shown}: say which with --instance-id ({names})"
        )
    if not candidates:
        who = f"service {settings.instance_id}" if settings.instance_id else "service"
        raise NoService(f"No {who} runs with the catalog {database.shown}; {_START_IT}")
    return Running(candidates[0].instance_id, candidates[0], candidates[0].instance_id)


def is_running(database: Database, settings: Settings, running: Running) -> bool:
    """Whether the service that was found still runs."""
    if database.path is not None:
        return is_owned(database.path) is not None
    live = live_instances(database, settings)
    return any(instance.instance_id == running.instance_id for instance in live)


def _owner_of(database: Database, live: list[Instance]) -> Running:
    assert database.path is not None
    pid = is_owned(database.path)
    if pid is None:
        raise NoService(f"No service runs with the catalog {database.shown}; {_START_IT}")
    # Whatever it is called: a SQLite catalog has one owner.
    instance = live[0] if live else None
    return Running(None, instance, instance.instance_id if instance else f"process {pid}")
