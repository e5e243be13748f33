"""`migrate --undo` beside services that share a PostgreSQL: never while one of them may still work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from file_watcher.catalog.database import Database
from file_watcher.catalog.owner import SessionLock
from file_watcher.catalog.requests import Instances
from file_watcher.catalog.schema import schema_state
from file_watcher.cli.migrating import _undo as undo
from file_watcher.errors import CatalogBusy, UsageError
from tests.support.catalog import opened

AN_HOUR_NS = 3600 * 10**9


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A catalog that service abc12345 has worked with."""
    with opened(postgres_url) as database:
        Instances(database, "1.0.0").beat("abc12345", {})
        yield database


def heard_last(database: Database, ago_ns: int) -> None:
    with database.writing() as connection:
        connection.execute(
            text("UPDATE fw_instances SET heartbeat_ns = :at"), {"at": time.time_ns() - ago_ns}
        )


def test_a_catalog_is_not_taken_from_a_service_that_was_heard_lately(
    database: Database, postgres_url: str
) -> None:
    with pytest.raises(UsageError, match=r"abc12345. Stop it; where it was killed, wait for 35 s"):
        undo(postgres_url, None, as_json=False)
    assert schema_state(database) == "current"


def test_a_catalog_is_not_taken_from_a_service_that_hangs(database: Database, postgres_url: str) -> None:
    heard_last(database, AN_HOUR_NS)
    with closing(Database(postgres_url)) as its_own:
        its_own.open()
        owner = SessionLock(its_own, "abc12345")
        owner.acquire()
        with pytest.raises(CatalogBusy, match="instance abc12345"):
            undo(postgres_url, None, as_json=False)
        owner.release()
    assert schema_state(database) == "current"


def test_a_catalog_whose_service_was_killed_long_ago_can_be_taken_back(
    database: Database, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    heard_last(database, AN_HOUR_NS)
    assert undo(postgres_url, "0001", as_json=False) == 0
    assert schema_state(database) == "older"
    assert undo(postgres_url, None, as_json=False) == 0
    assert schema_state(database) == "empty"
    assert undo(postgres_url, None, as_json=False) == 0
    told = capsys.readouterr().out
    assert "is taken back to 0001" in told
    assert "Everything of file_watcher is taken out" in told
    assert "There is nothing of file_watcher" in told
