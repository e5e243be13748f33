"""`migrate --undo`: take back what `migrate` made, once it is sure that this catalog is meant. Owns no thread."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from file_watcher.cli.figures import counted
from file_watcher.errors import UsageError

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database


def take_back(url: str, to: str | None, *, is_meant: bool) -> tuple[str, dict[str, Any]]:
    """Take the schema back to the step `to`, or all of it; what was done, for people and for programs.

    Raises UsageError where a service works with the catalog, or where something would be lost and nobody said
    that it is meant; else what `schema.downgrade` raises. Nothing was changed then.
    """
    from file_watcher.catalog import schema
    from file_watcher.catalog.database import Database

    target = to or schema.NOTHING
    with closing(Database(url)) as database:
        if database.path is not None and not os.path.lexists(database.path):
            raise UsageError(f"No catalog is at {database.shown}")
        database.open()
        before = schema.schema_state(database)
        with _kept_from_services(database):
            if before in {"current", "older"} and not is_meant:
                _refuse(database, target)
            schema.downgrade(database, target)
        after = schema.schema_state(database)
        words = _done(before, target, database.shown)
        return words, {"database": database.shown, "before": before, "state": after}


def _done(before: str, target: str, shown: str) -> str:
    from file_watcher.catalog.schema import NOTHING

    if before == "empty":
        return f"There is nothing of file_watcher in {shown}."
    if target == NOTHING:
        return f"Everything of file_watcher is taken out of {shown}. The next `run` makes it anew."
    return f"The schema of {shown} is taken back to {target}. The next `run` of this version upgrades it."


def _refuse(database: Database, target: str) -> None:
    """Raise UsageError with what would be lost; not for a step that there is not, which `downgrade` refuses."""
    from file_watcher.catalog.holdings import holdings
    from file_watcher.catalog.schema import NOTHING, REVISIONS

    if target not in {NOTHING, *REVISIONS[:-1]}:
        return
    held = holdings(database)
    kept = f"{counted(held.files, 'file')} and {counted(held.unsent, 'unsent message')}"
    jobs = counted(held.open_jobs, "job that still gathers", "jobs that still gather")
    if target == NOTHING:
        what = f"would empty the catalog {database.shown}, with {kept}"
    else:
        what = (
            f"would take out of the catalog {database.shown} what came after step {target} ({counted(held.rules, 'library rule')}, "
            f"{jobs}, its log); {kept} would stay"
        )
    raise UsageError(
        f"--undo {what}. Say --yes if that is meant; else --database-url or --instance-id names another catalog"
    )


@contextmanager
def _kept_from_services(database: Database) -> Iterator[None]:
    """Raise UsageError where a service works with the catalog; on SQLite none can begin to, in this block."""
    from file_watcher.catalog.owner import OwnerLock

    if database.path is None:
        _refuse_beside_services(database)
        yield
        return
    lock = OwnerLock(database.path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _refuse_beside_services(database: Database) -> None:
    """Heartbeats tell of those that are cut off for a moment, locks of those that hang."""
    from file_watcher.catalog.owner import SessionLock
    from file_watcher.catalog.schema import heartbeats
    from file_watcher.cli.catalogs import HEARTBEAT_AGE_SECONDS

    since_ns = time.time_ns() - int(HEARTBEAT_AGE_SECONDS * 1e9)
    known = heartbeats(database)
    living = [name for name, beat_ns in known.items() if beat_ns > since_ns]
    if living:
        raise UsageError(
            f"A service works with {database.shown}: {', '.join(living)}. Stop it; where it was killed, wait for "
            f"{HEARTBEAT_AGE_SECONDS:.0f} s"
        )
    for name in known:
        lock = SessionLock(database, name)
        lock.acquire()
        lock.release()
