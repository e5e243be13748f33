"""What the store asks of `fw_files`, in SQL that keeps its text, so that drivers keep its plan.

Owns no thread; a set of questions never changes: another one is made when the libraries are others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.rows import ENTRY_COLUMNS, RECORD_COLUMNS, learning_columns

_MOST_ALIKE: Final = 64
"""Files of equal content that are considered as the origin of a moved file."""

_RECORDED_INODES: Final = "SELECT DISTINCT inode FROM fw_files WHERE "

Many = Callable[[Sequence[Any]], tuple[str, tuple[Any, ...]]]
"""Gives the statement and its parameters for some values (at least one)."""


@dataclass(frozen=True, slots=True)
class FileQuestions:
    """Statements in the driver's words; the comments of the tables say which index answers which."""

    by_path_or_inode: str
    by_paths: Many
    by_inodes: Many
    by_contents: Many
    recorded_inodes: Many
    """Of inode numbers those that a row has, in whatever library: an index alone tells."""
    entries_in: str
    records_in: str
    folders_among: Many
    """Of intervals (first, end): those `first` that have a file within."""
    count: str
    outside: str
    """Paths of one library that lie outside of an interval: where its root was before."""


def questions_for(
    database: Database, library_ids: Sequence[int], *, learns_attributes: Collection[int] = ()
) -> FileQuestions:
    """The questions about the files of these libraries; in those of `learns_attributes` a scan's entry is
    doubtful where mode and owner are not known."""
    # The sum keeps planners from walking an index by library, which holds for nearly all rows.
    ours = f"library_id + 0 IN ({', '.join(map(str, library_ids)) or 'NULL'})"
    records = f"SELECT {RECORD_COLUMNS} FROM fw_files WHERE {ours} AND "  # noqa: S608 - constants and numbers
    columns = learning_columns(sorted(learns_attributes)) if learns_attributes else ENTRY_COLUMNS
    entries = f"SELECT {columns} FROM fw_files WHERE {ours} AND "  # noqa: S608 - constants and numbers
    page = "path > ? AND path < ? ORDER BY path LIMIT ?"
    many = _sqlite_questions if database.is_sqlite else _postgresql_questions
    by_paths, by_inodes, by_contents, recorded_inodes, folders_among = many(records, ours)
    return FileQuestions(
        by_path_or_inode=database.driver_sql(records + "(path = ? OR inode = ?)"),
        by_paths=by_paths,
        by_inodes=by_inodes,
        by_contents=by_contents,
        recorded_inodes=recorded_inodes,
        entries_in=database.driver_sql(entries + page),
        folders_among=folders_among,
        records_in=database.driver_sql(records + page),
        count=database.driver_sql("SELECT count(*) FROM fw_files WHERE library_id = ?"),
        outside=database.driver_sql(
            "SELECT path FROM fw_files WHERE library_id = ? AND path > ? AND NOT (path > ? AND path < ?) "
            "ORDER BY path LIMIT ?"
        ),
    )


def _of_contents(wanted: str, ours: str) -> str:
    """Joined in this order, or SQLite reads the whole table once per question.

    A content that very many files share proves nothing about any of them, and is left out.
    """
    alike = "SELECT 1 FROM fw_files AS twin WHERE twin.size = wanted_size AND twin.sha256 = wanted_hash"
    rare = f"(SELECT count(*) FROM ({alike} LIMIT {_MOST_ALIKE + 1}) AS alike) <= {_MOST_ALIKE}"  # noqa: S608
    return (
        f"SELECT {RECORD_COLUMNS} FROM {wanted} CROSS JOIN fw_files "  # noqa: S608 - constants and numbers
        f"WHERE size = wanted_size AND sha256 = wanted_hash AND {ours} AND {rare}"
    )


def _with_a_file_inside(wanted: str, ours: str) -> str:
    inside = f"SELECT 1 FROM fw_files WHERE path > wanted_first AND path < wanted_end AND {ours}"  # noqa: S608
    return f"SELECT wanted_first FROM {wanted} WHERE EXISTS ({inside})"  # noqa: S608 - constants and numbers


def _sqlite_questions(records: str, ours: str) -> tuple[Many, Many, Many, Many, Many]:
    """One mark per value. The last value is repeated up to a power of two: few texts, few plans."""

    def padded(values: Sequence[Any]) -> list[Any]:
        missing = (1 << (len(values) - 1).bit_length()) - len(values)
        return [*values, *[values[-1]] * missing]

    def among(question: str, column: str) -> Many:
        def ask(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
            full = padded(values)
            return f"{question}{column} IN ({', '.join('?' * len(full))})", tuple(full)

        return ask

    def by_contents(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        full = padded(values)
        pairs = f"VALUES {', '.join(['(?, ?)'] * len(full))}"
        wanted = f"(SELECT column1 AS wanted_size, column2 AS wanted_hash FROM ({pairs}))"  # noqa: S608 - marks only
        return _of_contents(wanted, ours), tuple(part for pair in full for part in pair)

    def folders_among(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        full = padded(values)
        pairs = f"VALUES {', '.join(['(?, ?)'] * len(full))}"
        wanted = f"(SELECT column1 AS wanted_first, column2 AS wanted_end FROM ({pairs}))"  # noqa: S608 - marks only
        return _with_a_file_inside(wanted, ours), tuple(part for pair in full for part in pair)

    return (
        among(records, "path"),
        among(records, "inode"),
        by_contents,
        among(_RECORDED_INODES, "inode"),
        folders_among,
    )


def _postgresql_questions(records: str, ours: str) -> tuple[Many, Many, Many, Many, Many]:
    """One array for all values, so that the text is always the same."""
    contents = _of_contents("unnest(%s::bigint[], %s::bytea[]) AS wanted (wanted_size, wanted_hash)", ours)

    def among(question: str, column: str, kind: str) -> Many:
        return lambda values: (f"{question}{column} = ANY(%s::{kind}[])", (list(values),))

    def by_contents(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        sizes, hashes = zip(*values, strict=True)
        return contents, (list(sizes), list(hashes))

    inside = _with_a_file_inside(
        "unnest(%s::bytea[], %s::bytea[]) AS wanted (wanted_first, wanted_end)", ours
    )

    def folders_among(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        firsts, ends = zip(*values, strict=True)
        return inside, (list(firsts), list(ends))

    return (
        among(records, "path", "bytea"),
        among(records, "inode", "bigint"),
        by_contents,
        among(_RECORDED_INODES, "inode", "bigint"),
        folders_among,
    )
