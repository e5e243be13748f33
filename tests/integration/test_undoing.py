"""`migrate --undo` beside services that share a PostgreSQL: never while one of them may still work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.owner import SessionLock
from file_watcher.catalog.requests import Instances
from file_watcher.catalog.schema import schema_state
from file_watcher.cli.undoing import take_back
from file_watcher.errors import CatalogBusy, UsageError
from tests.support.catalog import ROOT, message, opened, record, store_of

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
        take_back(postgres_url, None, is_meant=True)
    assert schema_state(database) == "current"


def test_a_catalog_is_not_taken_from_a_service_that_hangs(database: Database, postgres_url: str) -> None:
    heard_last(database, AN_HOUR_NS)
    with closing(Database(postgres_url)) as its_own:
        its_own.open()
        owner = SessionLock(its_own, "abc12345")
        owner.acquire()
        with pytest.raises(CatalogBusy, match="instance abc12345"):
            take_back(postgres_url, None, is_meant=True)
        owner.release()
    assert schema_state(database) == "current"


def test_a_catalog_whose_service_was_killed_long_ago_can_be_taken_back(
    database: Database, postgres_url: str
) -> None:
    heard_last(database, AN_HOUR_NS)
    lower, _ = take_back(postgres_url, "0001", is_meant=True)
    assert schema_state(database) == "older"
    everything, _ = take_back(postgres_url, None, is_meant=True)
    assert schema_state(database) == "empty"
    nothing, _ = take_back(postgres_url, None, is_meant=True)
    assert "is taken back to 0001" in lower
    assert "Everything of file_watcher is taken out" in everything
    assert "There is nothing of file_watcher" in nothing


def test_nothing_is_taken_back_before_somebody_says_that_it_is_meant(
    database: Database, postgres_url: str
) -> None:
    heard_last(database, AN_HOUR_NS)
    about = record("a.mp3")
    Libraries(database).ensure_library(ROOT)
    store_of(database).commit(Batch(inserts=(about,), messages=(message(about),)))
    with pytest.raises(UsageError, match=r"would empty the catalog .*, with 1 file and 1 unsent message"):
        take_back(postgres_url, None, is_meant=False)
    assert schema_state(database) == "current"
