"""A server on which writing is forbidden for a while, as on one that was a standby when we connected."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from file_watcher.catalog.store import Batch
from file_watcher.errors import CatalogUnavailable
from tests.support.catalog import opened, record, store_of
from tests.support.postgresql import PostgresCluster


@pytest.fixture
def forbidden(postgres: PostgresCluster) -> Iterator[psycopg.Connection]:
    """Sessions that begin now may only read; gives a session that may do anything."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER ROLE watcher SET default_transaction_read_only = on")
        yield connection
        connection.execute("ALTER ROLE watcher RESET default_transaction_read_only")


def test_a_session_that_began_while_writing_was_forbidden_is_not_kept(
    postgres_url: str, forbidden: psycopg.Connection
) -> None:
    forbidden.execute("ALTER ROLE watcher RESET default_transaction_read_only")
    with opened(postgres_url) as database:
        store = store_of(database)
        store.commit(Batch(inserts=[record("a", inode=1)]))
        forbidden.execute("ALTER ROLE watcher SET default_transaction_read_only = on")
        forbidden.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        for _ in range(2):
            with pytest.raises(CatalogUnavailable):
                store.commit(Batch(inserts=[record("b", inode=2)]))
        forbidden.execute("ALTER ROLE watcher RESET default_transaction_read_only")

        store.commit(Batch(inserts=[record("b", inode=2)]))

        assert store.count(1) == 2
