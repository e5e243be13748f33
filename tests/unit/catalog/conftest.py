"""The unit tests of the catalog use SQLite; tests/integration/catalog has what holds for both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from file_watcher.catalog.database import Database
from tests.support.catalog import opened


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An open database with a current schema."""
    with opened(f"sqlite:///{tmp_path / 'catalog.sqlite3'}") as database:
        yield database
