"""Every test here that asks for a database runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.store import CatalogStore
from tests.support.catalog import opened, store_of


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database with a current schema."""
    with opened(database_url) as database:
        yield database


@pytest.fixture
def store(database: Database) -> CatalogStore:
    """A store that owns the library of `tests.support.catalog`."""
    return store_of(database)
