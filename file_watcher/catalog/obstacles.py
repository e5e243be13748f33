"""What keeps a catalog from being made or used in a database that others rule, and the statement that mends it.

On PostgreSQL the rights are asked for, so that nothing has to fail first; on both kinds of databases it is
made sure that tables called `libraries` and `settings` are such as can be shared. Owns no thread; reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Boolean, Connection, Integer, inspect, text

SchemaState = Literal["current", "empty", "older", "newer"]
"""How the schema stands to this version. What was current is older again where the other application has replaced a
shared table."""

_SHARED: Final = {"libraries": ("id", "name", "path", "type"), "settings": ("key", "value")}
"""What such a table has to have, whoever owns it."""

_ELSEWHERE: Final = "set DATABASE_URL to another database, or to another schema of this one"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that is in the way. `who` may run the `statement` that mends it; None where none would."""

    problem: str
    who: str | None = None
    statement: str | None = None

    def __str__(self) -> str:
        if self.statement is None:
            return f"{self.problem}."
        return f"{self.problem}: let {self.who} run `{self.statement}`."


def find_obstacles(connection: Connection, state: SchemaState | None) -> list[Obstacle]:
    """All that is in the way of making or upgrading the schema, or, where it is current, of using it.

    `state` is None where it could not be read. Raises what the driver raises.
    """
    if state == "newer":
        return []
    found = list(_unlike_ours(connection))
    if not found and connection.dialect.name == "postgresql":
        found = list(_missing_rights(connection, state))
    return found


def _unlike_ours(connection: Connection) -> Iterator[Obstacle]:
    inspector = inspect(connection)
    for table, needed in _SHARED.items():
        if not inspector.has_table(table):
            continue
        columns = {column["name"]: column["type"] for column in inspector.get_columns(table)}
        missing = [name for name in needed if name not in columns]
        if missing:
            yield Obstacle(
                f"The table {table} has no column {', '.join(missing)}, so it cannot be shared; {_ELSEWHERE}"
            )
        if table == "libraries" and connection.dialect.name == "postgresql":  # SQLite takes any type anywhere
            for name, kind in (("id", Integer), ("is_watched", Boolean)):
                found = columns.get(name)
                # A domain is compared by what it is made of.
                if found is not None and not isinstance(getattr(found, "data_type", found), kind):
                    yield Obstacle(
                        f"The column {name} of the table libraries is of type {found}, not {kind.__name__.lower()}, "
                        f"so it cannot be shared; {_ELSEWHERE}"
                    )


def _missing_rights(connection: Connection, state: SchemaState | None) -> Iterator[Obstacle]:
    place = _first(connection, _PLACE)
    if place["schema"] is None:
        yield Obstacle(
            f"The search_path of user {place['me']} names no schema that exists and that it may use",
            "the database's owner",
            f"GRANT USAGE, CREATE ON SCHEMA public TO {place['me']};",
        )
        return
    if state in {"empty", "older"} and not place["may_create"]:
        yield Obstacle(
            f"User {place['me']} may not make tables in the schema {place['schema']}",
            f"its owner ({place['owner']})",
            f"GRANT CREATE ON SCHEMA {place['schema']} TO {place['me']};",
        )
    for table, wanted in (("libraries", ("SELECT", "UPDATE")), ("settings", ("SELECT",))):
        yield from _rights_on_shared(connection, place["me"], table, wanted)
    yield from _rights_on_ours(connection, place["me"], state)


def _rights_on_shared(
    connection: Connection, me: str, table: str, wanted: Sequence[str]
) -> Iterator[Obstacle]:
    about = {"name": table, "needed": [*_SHARED[table], "is_watched"]}
    rows = connection.execute(text(_SHARED_TABLE), about).mappings().all()
    if not rows:
        return  # it will be made
    row = rows[0]
    whose = f"its owner ({row['owner']})"
    if table == "libraries" and not row["has_flag"] and not row["is_owner"]:
        yield Obstacle(
            f"User {me} does not own the table {row['name']}, so it may not add the column is_watched to it",
            whose,
            f"ALTER TABLE {row['name']} ADD COLUMN is_watched boolean NOT NULL DEFAULT false;",
        )
    missing = ", ".join(right for right in wanted if not row[f"may_{right.lower()}"])
    if missing:
        yield Obstacle(
            f"User {me} may not {_spoken(missing)} the table {row['name']}",
            whose,
            f"GRANT {missing} ON {row['name']} TO {me};",
        )


def _rights_on_ours(connection: Connection, me: str, state: SchemaState | None) -> Iterator[Obstacle]:
    """Rights on what somebody else made for us: an administrator, who ran `migrate`."""
    rows = connection.execute(text(_OUR_TABLES)).mappings().all()
    foreign = [row for row in rows if not row["is_owner"]]
    if state == "older" and foreign:
        yield Obstacle(
            f"The catalog has to be upgraded, and user {me} does not own its tables: run `migrate` as their "
            f"owner ({foreign[0]['owner']})"
        )
    for kinds, rights, what in (
        ("rp", "SELECT, INSERT, UPDATE, DELETE", ""),
        ("S", "USAGE, SELECT", "SEQUENCE "),
    ):
        closed = [row["name"] for row in foreign if row["kind"] in kinds and not row["is_open"]]
        if closed:
            yield Obstacle(
                f"User {me} may not use {closed[0]}" + (f" and {len(closed) - 1} more" if closed[1:] else ""),
                f"their owner ({foreign[0]['owner']})",
                f"GRANT {rights} ON {what}{', '.join(closed)} TO {me};",
            )


def _first(connection: Connection, question: str) -> Any:
    return connection.execute(text(question)).mappings().one()


def _spoken(rights: str) -> str:
    return rights.lower().replace("select", "read").replace("update", "change").replace(", ", " or ")


_PLACE: Final = (
    "SELECT quote_ident(current_user) AS me, quote_ident(current_schema()) AS schema, "
    "quote_ident(pg_get_userbyid(nspowner)) AS owner, has_schema_privilege(n.oid, 'CREATE') AS may_create "
    "FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = current_schema()"
)
_OWNED: Final = "quote_ident(pg_get_userbyid(relowner)) AS owner, pg_has_role(relowner, 'USAGE') AS is_owner"
_NAMED: Final = "format('%I.%I', nspname, relname) AS name"
_SHARED_TABLE: Final = (
    f"SELECT {_NAMED}, {_OWNED}, flag.attname IS NOT NULL AS has_flag, "  # noqa: S608 - constants
    # Rights may be given for single columns.
    "(SELECT bool_and(has_column_privilege(c.oid, attnum, 'SELECT')) FROM pg_catalog.pg_attribute "
    "WHERE attrelid = c.oid AND attname::text = ANY(:needed)"
    ") AS may_select, "
    "has_table_privilege(c.oid, 'UPDATE') "
    "OR coalesce(has_column_privilege(c.oid, flag.attnum, 'UPDATE'), false) AS may_update "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace "
    "LEFT JOIN pg_catalog.pg_attribute AS flag ON attrelid = c.oid AND attname = 'is_watched' "
    "AND NOT attisdropped WHERE c.oid = to_regclass(:name)"
)
_OUR_TABLES: Final = (
    f"SELECT {_NAMED}, {_OWNED}, relkind AS kind, "  # noqa: S608 - constants
    "CASE relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'USAGE') ELSE "
    "has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') "
    "AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') END AS is_open "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace "
    "WHERE relname LIKE 'fw\\_%' AND relkind IN ('r', 'p', 'S') AND pg_table_is_visible(c.oid) "
    "ORDER BY relname"
)
