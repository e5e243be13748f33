"""A scratch table of one session: for each path, which never-sent messages touch it, and which ones are superfluous.

Owns no thread. The table is the session's own, so nobody waits for it and it goes with the session, also after
a crash. It lies in a temporary file and is filled by the database itself, page by page: a million paths need
some 200 MB of disk for that time, and hardly any memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING

_PAGE: Final = 2000
"""Messages in one statement: some 20 ms, after which whoever asks for the end is heard."""

_TOLD: Final = "file_id IS NOT NULL"
"""Messages about files; notices stay as they are."""
_LIVE: Final = "queue IS NULL AND snapshot IS NULL"
"""What everybody gets; what a snapshot tells again is neither merged nor merged into."""
_NEVER: Final = (1 << 63) - 1

Span = tuple[int, int]
"""The first of some sequences, not included, and the last, included."""

Superfluous = tuple[int, int]
"""A message's sequence, and its guard: it is superfluous as long as the message with this one was never sent."""


class Touches:
    """One session's table, for the messages of one outbox (`ours` is its condition in SQL).

    All methods raise CatalogUnavailable or CatalogError.
    """

    def __init__(self, database: Database, session: Connection, ours: str) -> None:
        self._database = database
        self._session = session
        waiting = f"{WAITING} AND {ours}"
        sql = database.driver_sql
        self._page_end = sql(
            f"SELECT max(sequence) FROM (SELECT sequence FROM fw_events WHERE sequence > ? AND sequence <= ? "  # noqa: S608
            f"AND {waiting} ORDER BY sequence LIMIT {_PAGE}) AS page"
        )
        self._note = sql(_note(waiting))
        self._find = sql(_find(waiting))
        self._is_sqlite = database.is_sqlite

    def make(self) -> None:
        """Make the empty table."""
        if self._is_sqlite:
            self._tell("PRAGMA temp_store=FILE")
        kind = "BLOB" if self._is_sqlite else "BYTEA"
        self._tell(
            f"CREATE TEMPORARY TABLE fw_touches (at_path {kind} PRIMARY KEY, first_seq BIGINT NOT NULL, "
            "created_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL, deleted_seq BIGINT NOT NULL, "
            "alone INTEGER NOT NULL)" + (" WITHOUT ROWID" if self._is_sqlite else "")
        )

    def pages(self, span: Span) -> Iterator[Span]:
        """What waits in the span, in pieces of bounded size, rising."""
        after, upper = span
        while after < upper:
            ((end,),) = self._ask(self._page_end, (after, upper))
            if end is None:
                return
            yield after, end
            after = end

    def note(self, page: Span) -> None:
        """Take a page into the table; pages come in rising order."""
        self._tell(self._note, (*page, *page))

    def superfluous(self, page: Span, trusted_after: int) -> list[Superfluous]:
        """Those of a page that are superfluous by what was noted; see `compaction` for the reasons.

        Above `trusted_after` nothing was merged before, so the first message of a path tells what was there.
        """
        return [(sequence, guard) for sequence, guard in self._ask(self._find, (*page, trusted_after))]

    def _ask(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        with self._database.asking():
            return list(self._session.exec_driver_sql(sql, parameters))

    def _tell(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        with self._database.asking():
            self._session.exec_driver_sql(sql, parameters).close()


def _note(waiting: str) -> str:
    """For each path of a page: the first and the last message that touch it, and of what kind they are."""

    def touched(path: str) -> str:
        return (
            f"SELECT {path} AS touched, sequence, "  # noqa: S608
            f"CASE WHEN event_type = 'created' AND {_LIVE} THEN sequence ELSE {_NEVER} END AS created, "
            f"CASE WHEN {_LIVE} THEN sequence ELSE 0 END AS live, "
            f"CASE WHEN event_type = 'deleted' AND {_LIVE} THEN sequence ELSE 0 END AS deleted, "
            f"CASE WHEN old_path IS NULL AND {_LIVE} THEN 1 ELSE 0 END AS alone "
            f"FROM fw_events WHERE sequence > ? AND sequence <= ? AND {waiting} AND {_TOLD}"
        )

    return (
        "INSERT INTO fw_touches (at_path, first_seq, created_seq, last_seq, deleted_seq, alone) "  # noqa: S608
        "SELECT touched, min(sequence), min(created), max(live), max(deleted), min(alone) FROM ("
        f"{touched('path')} UNION ALL {touched('old_path')} AND old_path IS NOT NULL) AS touch "
        "WHERE true GROUP BY touched ON CONFLICT (at_path) DO UPDATE SET "
        "last_seq = CASE WHEN excluded.last_seq > 0 THEN excluded.last_seq ELSE fw_touches.last_seq END, "
        "deleted_seq = CASE WHEN excluded.deleted_seq > 0 THEN excluded.deleted_seq ELSE fw_touches.deleted_seq END, "
        "alone = fw_touches.alone * excluded.alone"
    )


def _find(waiting: str) -> str:
    """What is superseded guards itself; the end of what came and went is guarded by its beginning."""
    superseded = "here.last_seq > sequence AND (old_path IS NULL OR there.last_seq > sequence)"
    return (
        f"SELECT sequence, CASE WHEN {superseded} THEN sequence ELSE here.first_seq END FROM fw_events "  # noqa: S608
        "JOIN fw_touches AS here ON here.at_path = fw_events.path "
        "LEFT JOIN fw_touches AS there ON there.at_path = fw_events.old_path "
        f"WHERE sequence > ? AND sequence <= ? AND {waiting} AND {_TOLD} AND {_LIVE} AND (({superseded}) OR "
        "(here.alone = 1 AND here.first_seq > ? AND here.created_seq = here.first_seq "
        "AND here.deleted_seq = here.last_seq)) ORDER BY sequence"
    )
