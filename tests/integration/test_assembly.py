"""The parts as they are joined for several instances on one PostgreSQL: what is taken over is served at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from file_watcher import job_clock
from file_watcher.assembly import Parts, Surroundings, assemble
from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.lifecycle import Deadline
from file_watcher.ops.metrics import Metrics
from file_watcher.settings import load
from tests.support.catalog import opened, store_of
from tests.support.jobs import change
from tests.support.waiting import wait_for

SECOND_NS = 1_000_000_000


@contextmanager
def assembled(database: Database, folder: Path) -> Iterator[Parts]:
    """The parts of an instance that watches what the database says; leases and jobs run, nothing else does."""
    failures: list[BaseException] = []
    loaded = load({}, {"XDG_STATE_HOME": str(folder / "state"), "DATA_DIR": str(folder / "own")})
    parts = assemble(
        Surroundings(
            loaded.settings,
            "second",
            database,
            Metrics(),
            lambda _thread, error: failures.append(error),
            lambda _message: None,
            dict,
            lambda: None,
            layers=loaded.layers,
        )
    )
    assert parts.jobs is not None
    stages = (parts.tenure, parts.jobs)
    for stage in stages:
        stage.start()
    try:
        yield parts
    finally:
        for stage in stages:
            stage.close()
            assert stage.join(Deadline(10))
    assert failures == []


def rest(parts: Parts) -> bool:
    """Whether the clock has looked, and sleeps."""
    assert parts.jobs is not None
    progress = parts.jobs.progress()
    return progress.doing is None and progress.steps > 0


def test_windows_that_came_due_while_their_owner_was_dead_are_closed_as_soon_as_they_are_taken_over(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_clock, "_LOOK_SECONDS", 3600.0)
    root = tmp_path / "shared"
    root.mkdir()
    with opened(postgres_url) as database, psycopg.connect(postgres_url, autocommit=True) as sql:
        sql.execute(
            "INSERT INTO libraries (name, path, type, is_watched) VALUES ('shared', %s, 'staging', true)",
            (str(root),),
        )
        now = "(extract(epoch FROM clock_timestamp()) * 1e9)::bigint"
        sql.execute(f"INSERT INTO fw_leases VALUES (1, 'first', 1, {now}, {now} + 3600000000000)")
        due_ns = time.time_ns() - SECOND_NS
        store_of(database).commit(Batch(windows=[change(at_ns=due_ns - SECOND_NS, due_ns=due_ns)]))

        def jobs() -> int:
            row = sql.execute("SELECT count(*) FROM fw_events WHERE event_type = 'job'").fetchone()
            assert row is not None
            return int(row[0])

        with assembled(database, tmp_path) as parts:
            wait_for(lambda: rest(parts), "the first look")
            assert jobs() == 0, "they are another one's"
            sql.execute(f"UPDATE fw_leases SET expires_ns = {now}")
            wait_for(lambda: jobs() == 1, "the job")
