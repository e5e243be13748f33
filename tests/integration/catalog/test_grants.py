"""A PostgreSQL that others rule: what is not permitted is said with the statement that permits it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from sqlalchemy import text

from file_watcher.catalog.change_triggers import CHANNEL
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.runtime_settings import settings_rows
from file_watcher.catalog.schema import downgrade, install_notices, migrate, report
from file_watcher.errors import CatalogError, CatalogUnavailable
from tests.integration.catalog.foreign_schemas import MEDIA_SERVER
from tests.support.postgresql import PostgresCluster


class Limited:
    """A user who may connect and nothing else, and the owner who may grant."""

    def __init__(self, owner_url: str) -> None:
        self.name = f"limited_{uuid.uuid4().hex[:8]}"
        self.owner_url = owner_url
        self.url = owner_url.replace("watcher@", f"{self.name}@")

    def owner_runs(self, statement: str) -> None:
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def connected(self) -> Iterator[Database]:
        with closing(Database(self.url)) as database:
            database.open()
            yield database


@pytest.fixture
def limited(postgres_url: str) -> Iterator[Limited]:
    user = Limited(postgres_url)
    user.owner_runs(f"CREATE ROLE {user.name} LOGIN")
    yield user
    user.owner_runs(f"DROP OWNED BY {user.name} CASCADE; DROP ROLE {user.name}")


def test_who_may_not_make_tables_is_told_the_grant(limited: Limited) -> None:
    with limited.connected() as database:
        with pytest.raises(CatalogError) as refused:
            migrate(database)

        assert (
            f"let its owner (pg_database_owner) run `GRANT CREATE ON SCHEMA public TO {limited.name};`"
            in str(refused.value)
        )
        limited.owner_runs(f"GRANT CREATE ON SCHEMA public TO {limited.name};")
        migrate(database)
        assert report(database).has_notices


def test_who_may_not_even_see_a_schema_is_told_the_grant(limited: Limited) -> None:
    limited.owner_runs("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with limited.connected() as database:
        [obstacle] = report(database).obstacles
        assert obstacle.statement == f"GRANT USAGE, CREATE ON SCHEMA public TO {limited.name};"
        limited.owner_runs(obstacle.statement)
        migrate(database)


def test_the_statements_that_are_told_are_all_that_is_needed(limited: Limited) -> None:
    limited.owner_runs(MEDIA_SERVER)
    with limited.connected() as database:
        found = report(database)
        assert found.state == "empty"
        assert [obstacle.statement for obstacle in found.obstacles] == [
            f"GRANT CREATE ON SCHEMA public TO {limited.name};",
            "ALTER TABLE public.libraries ADD COLUMN is_watched boolean NOT NULL DEFAULT false;",
            f"GRANT SELECT, UPDATE ON public.libraries TO {limited.name};",
            f"GRANT SELECT ON public.settings TO {limited.name};",
        ]
        with pytest.raises(CatalogError, match=r"let its owner \(watcher\) run `ALTER TABLE public"):
            migrate(database)
        for obstacle in found.obstacles:
            limited.owner_runs(str(obstacle.statement))

        migrate(database)

        current = report(database)
        assert (current.state, current.obstacles, current.has_notices) == ("current", (), False)
        # A row that stands can be watched; one that does not has to be permitted, or added by others.
        assert Libraries(database).ensure_libraries([b"/srv/music"], "abc12345")[0].id == 1
        with pytest.raises(CatalogError) as refused:
            Libraries(database).ensure_libraries([b"/srv/new"], "abc12345")
        assert "VALUES ('new', '/srv/new', 'production', true);`" in str(refused.value)
        limited.owner_runs(str(refused.value).split("`")[1])
        assert Libraries(database).ensure_libraries([b"/srv/new"], "abc12345")[0].name == "new"


def test_rights_on_single_columns_are_enough(limited: Limited) -> None:
    limited.owner_runs(
        MEDIA_SERVER + "ALTER TABLE libraries ADD COLUMN is_watched boolean NOT NULL DEFAULT false;"
    )
    limited.owner_runs(
        f"GRANT CREATE ON SCHEMA public TO {limited.name}; "
        f"GRANT SELECT (id, name, path, type, is_watched), UPDATE (is_watched) ON libraries TO {limited.name}; "
        f"GRANT SELECT (key, value) ON settings TO {limited.name}"
    )
    with limited.connected() as database:
        # SQLAlchemy's inspector asks the catalog only, and every statement of ours names its columns.
        assert report(database).obstacles == ()
        migrate(database)
        assert Libraries(database).ensure_libraries([b"/srv/music"], "abc12345")[0].id == 1


def test_triggers_are_installed_once_they_are_permitted_and_taken_back_by_who_does_not_own_the_tables(
    limited: Limited, postgres: PostgresCluster
) -> None:
    limited.owner_runs(
        MEDIA_SERVER + "ALTER TABLE libraries ADD COLUMN is_watched boolean NOT NULL DEFAULT false;"
    )
    limited.owner_runs(
        f"GRANT CREATE ON SCHEMA public TO {limited.name}; GRANT SELECT, UPDATE ON libraries TO {limited.name}; "
        f"GRANT SELECT ON settings TO {limited.name}"
    )
    before = postgres.dump(limited.owner_url)
    with limited.connected() as database:
        migrate(database)
        assert not install_notices(database)
        limited.owner_runs(f"GRANT TRIGGER ON libraries, settings TO {limited.name}")
        assert install_notices(database)
        downgrade(database)
    limited.owner_runs(f"REVOKE TRIGGER ON libraries, settings FROM {limited.name}")
    assert postgres.dump(limited.owner_url) == before


def test_a_catalog_that_an_administrator_made_can_be_used_after_the_grants(limited: Limited) -> None:
    with closing(Database(limited.owner_url)) as theirs:
        theirs.open()
        migrate(theirs)
    with limited.connected() as database:
        for _ in range(2):  # the version cannot be read before the first grants
            for obstacle in report(database).obstacles:
                limited.owner_runs(str(obstacle.statement))
        migrate(database)
        assert report(database).obstacles == ()
        with closing(Database(limited.owner_url)) as theirs:
            theirs.open()
            downgrade(theirs, "0003")
        [obstacle] = report(database).obstacles[-1:]
        assert str(obstacle) == (
            f"The catalog has to be upgraded, and user {limited.name} does not own its tables: "
            "run `migrate` as their owner (watcher)."
        )


def test_writers_without_any_right_of_ours_are_heard(limited: Limited) -> None:
    limited.owner_runs(MEDIA_SERVER + f"GRANT INSERT, UPDATE, DELETE, SELECT ON settings TO {limited.name}")
    with closing(Database(limited.owner_url)) as ours:
        ours.open()
        migrate(ours)
    limited.owner_runs("REVOKE EXECUTE ON FUNCTION fw_notify_config() FROM PUBLIC")
    with psycopg.connect(limited.owner_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}".encode())
        with psycopg.connect(limited.url) as writer:
            writer.execute("UPDATE settings SET value = '9' WHERE key = 'file_watch.nice'")
        limited.owner_runs("TRUNCATE fw_library_rules")
        heard = [notice.payload for notice in listener.notifies(timeout=30, stop_after=2)]
    assert heard == ["settings", "fw_library_rules"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "ADD is_watched INTEGER NOT NULL DEFAULT 0",
            "is_watched of the table libraries is of type INTEGER, not bool",
        ),
        (
            "ALTER id DROP DEFAULT, ALTER id TYPE TEXT",
            "id of the table libraries is of type TEXT, not integer",
        ),
    ],
)
def test_a_column_of_another_type_is_told_before_anything_is_made(
    limited: Limited, change: str, told: str
) -> None:
    limited.owner_runs(MEDIA_SERVER + f"ALTER TABLE libraries {change};")
    with closing(Database(limited.owner_url)) as database:
        database.open()
        with pytest.raises(CatalogError, match=told):
            migrate(database)
        with database.reading() as connection:
            assert connection.execute(text("SELECT to_regclass('fw_files')")).scalar() is None


def test_columns_of_domains_are_what_they_are_made_of(limited: Limited) -> None:
    domains = (
        "CREATE DOMAIN number AS INTEGER CHECK (VALUE > 0); CREATE DOMAIN flag AS BOOLEAN DEFAULT false;"
    )
    change = "ALTER TABLE libraries ALTER id TYPE number, ADD is_watched flag;"
    limited.owner_runs(domains + MEDIA_SERVER + change)
    with closing(Database(limited.owner_url)) as database:
        database.open()
        migrate(database)
        limited.owner_runs("UPDATE libraries SET is_watched = NULL")
        Libraries(database).ensure_libraries([b"/srv/music"], "abc12345")
        with database.reading() as connection:
            assert connection.execute(text("SELECT path FROM libraries WHERE is_watched")).all() == [
                ("/srv/music",)
            ]


def test_a_right_that_is_taken_later_is_told_with_the_command_that_finds_it(limited: Limited) -> None:
    limited.owner_runs(f"GRANT CREATE ON SCHEMA public TO {limited.name}")
    with limited.connected() as database:
        migrate(database)
        limited.owner_runs("ALTER TABLE settings OWNER TO watcher")
        with pytest.raises(
            CatalogError, match=r"permission denied for table settings.*`migrate --check` prints"
        ):
            settings_rows(database)
        [obstacle] = report(database).obstacles
        assert obstacle.statement == f"GRANT SELECT ON public.settings TO {limited.name};"


def test_another_applications_statements_do_not_wait_long_behind_us(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.catalog.schema._NEIGHBOURS_WAIT", "100ms")
    limited.owner_runs(MEDIA_SERVER)
    with closing(Database(limited.owner_url)) as database, psycopg.connect(limited.owner_url) as theirs:
        database.open()
        theirs.execute("SELECT * FROM libraries")  # and its transaction stays open
        with pytest.raises(CatalogUnavailable, match="lock timeout"):
            migrate(database)
        assert report(database).state == "empty"
        theirs.commit()
        migrate(database)


def test_no_trigger_stands_where_it_would_break_prepared_transactions(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.catalog.change_triggers._would_break_two_phase_commit", lambda _: True)
    with closing(Database(limited.owner_url)) as database:
        database.open()
        migrate(database)
        assert not report(database).has_notices
