"""What the steps made of the two tables that another application may own, so that only that is taken back.

`fw_adoption` names it: `libraries` and `settings` where a step made the whole table, `libraries.is_watched`
where it added the column to a table that stood already. What is not named there belongs to somebody else.

Owns no thread; works on the connection of a step.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError, IntegrityError

from file_watcher.errors import CatalogError

TABLE: Final = "fw_adoption"
COLUMN: Final = "libraries.is_watched"

_MADE: Final = {
    "libraries": ("id", "name", "path", "type", "is_watched"),
    "settings": ("id", "key", "value"),
}
"""The columns of the tables as the first step makes them."""

_STRANGERS: Final = {
    # Rows that no library of ours explains: never watched, never seen.
    "libraries": "SELECT 1 FROM libraries WHERE NOT is_watched "
    "AND id NOT IN (SELECT library_id FROM fw_library_state) LIMIT 1",
    "settings": "SELECT 1 FROM settings WHERE key NOT LIKE 'file!_watch.%' ESCAPE '!' LIMIT 1",
}


def share_tables() -> None:
    """Make `libraries` and `settings` where they are missing, add the column where that is, and record it."""
    _make_record()
    complete()


def complete() -> None:
    """Make what is missing of both tables. Later than at first where the other application replaced its table,
    or where only our tables were brought back from a backup."""
    inspector = sa.inspect(op.get_bind())
    watched = sa.Column("is_watched", sa.Boolean, nullable=False, server_default=sa.false())
    if not inspector.has_table("libraries"):
        op.create_table(
            "libraries",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.Text, nullable=False),
            sa.Column("path", sa.Text, nullable=False),
            sa.Column("type", sa.Text, nullable=False),
            watched,
        )
        _record("libraries")
    elif "is_watched" not in _columns("libraries"):
        op.add_column("libraries", watched)
        _record(COLUMN)
    if not inspector.has_table("settings"):
        op.create_table(
            "settings",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("key", sa.String(255), nullable=False, unique=True),
            sa.Column("value", sa.Text),
        )
        _record("settings")


def infer_record() -> bool:
    """Record what earlier versions made, which did not write it down; False where it is recorded already.

    Only what is proved counts as ours, all else as the other application's.
    """
    if sa.inspect(op.get_bind()).has_table(TABLE):
        return False
    _make_record()
    is_ours = _is_ours_on_sqlite if op.get_bind().dialect.name == "sqlite" else _is_ours_on_postgresql
    for made in (*_MADE, COLUMN):
        if (made != COLUMN or "libraries" not in made_by_us()) and is_ours(made):
            _record(made)
    return True


def made_by_us() -> frozenset[str]:
    """What `fw_adoption` names."""
    return frozenset(op.get_bind().execute(sa.text(f"SELECT made FROM {TABLE}")).scalars())  # noqa: S608 - a constant


def take_back() -> None:
    """Undo `share_tables`, as far as it was us, before `fw_library_state` goes.

    A table that we made stays, whole, where somebody else uses it by now: where it has other columns,
    something else depends on it, or it holds rows that are not ours. Raises CatalogError where
    something of others depends on the column that we added.
    """
    infer_record()
    made = made_by_us()
    for table in _MADE:
        if table in made and not _is_used_by_others(table):
            _drop_table(table)
    if COLUMN in made:
        _drop_column()
    op.drop_table(TABLE)


def _make_record() -> None:
    op.create_table(TABLE, sa.Column("made", sa.String(64), primary_key=True))


def _record(made: str) -> None:
    """What was recorded of the same table before is about one that is gone."""
    earlier = sa.text(f"DELETE FROM {TABLE} WHERE made IN (:made, :table, :column)")  # noqa: S608 - a constant
    table = made.partition(".")[0]
    names = {"made": made, "table": table, "column": COLUMN if table == "libraries" else made}
    op.get_bind().execute(earlier, names)
    op.get_bind().execute(sa.text(f"INSERT INTO {TABLE} (made) VALUES (:made)"), {"made": made})  # noqa: S608


def _columns(table: str) -> tuple[str, ...]:
    return tuple(column["name"] for column in sa.inspect(op.get_bind()).get_columns(table))


def _is_used_by_others(table: str) -> bool:
    bind = op.get_bind()
    indexes = [index for index in sa.inspect(bind).get_indexes(table) if "duplicates_constraint" not in index]
    if _columns(table) != _MADE[table] or indexes:
        return True
    return bind.execute(sa.text(_STRANGERS[table])).first() is not None


def _drop_table(table: str) -> None:
    """Drop it, unless the database says that something else depends on it."""
    try:
        with op.get_bind().begin_nested():
            op.drop_table(table)
    except DBAPIError as exc:
        # SQLite has no state for it: rows elsewhere that refer to the table's make it fail.
        if getattr(exc.orig, "sqlstate", None) != _DEPENDED_UPON and not isinstance(exc, IntegrityError):
            raise


def _drop_column() -> None:
    try:
        op.drop_column("libraries", "is_watched")
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != _DEPENDED_UPON:
            raise
        raise CatalogError(
            "The column is_watched cannot be taken out of the table libraries, since something else depends on "
            f"it: {' '.join(str(exc.orig).split())}. Remove that first."
        ) from exc


_DEPENDED_UPON: Final = "2BP01"
"""SQLSTATE dependent_objects_still_exist."""


_BORN: Final = (
    "SELECT xmin::text FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(:name) AND attname = :column"
)


def _is_ours_on_postgresql(made: str) -> bool:
    """The first step is one transaction, whose number the catalog's entries for columns still bear.

    A dump that is restored in one transaction gives its own number to everything; then a table has to look
    exactly like ours, and a column that is as old as its table proves nothing.
    """
    table = made.partition(".")[0]
    ours, theirs = _birth("fw_files", "id"), _birth(table, "id")
    if made == COLUMN:
        return theirs != ours == _birth(table, "is_watched")
    return theirs == ours and _columns(table) == _MADE[table]


def _birth(table: str, column: str) -> str | None:
    values = {"name": table, "column": column}
    born: str | None = op.get_bind().execute(sa.text(_BORN), values).scalar()
    return born


_MADE_ON_SQLITE: Final = {
    "libraries": "CREATE TABLE libraries ( id INTEGER NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, "
    "type TEXT NOT NULL, is_watched BOOLEAN DEFAULT 0 NOT NULL, PRIMARY KEY (id) )",
    "settings": 'CREATE TABLE settings ( id INTEGER NOT NULL, "key" VARCHAR(255) NOT NULL, value TEXT, '
    'PRIMARY KEY (id), UNIQUE ("key") )',
}


def _is_ours_on_sqlite(made: str) -> bool:
    """SQLite keeps the statement that made a table. Of an added column it keeps no trace that proves anything."""
    question = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
    statement = op.get_bind().execute(question, {"name": made}).scalar()
    return statement is not None and " ".join(statement.split()) == _MADE_ON_SQLITE.get(made)
