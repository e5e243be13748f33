"""What was recorded, and what became of it: reads `fw_events` for people, page by page.

Owns no thread; reads only. A question looks at so many sequences at most, however few of them are wanted: a
narrow filter over a million messages is many short statements instead of a long one, and memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from file_watcher.catalog.database import Database
from file_watcher.catalog.snapshot import Interval

State = Literal["sent", "waiting", "unrouted"]
"""Confirmed by the broker; not yet; confirmed, but no queue wanted it."""

SPAN: Final = 20_000
"""Sequences that one question looks at: about 40 MB of rows, a tenth of a second on a disk that is warm."""
_PAGE: Final = 100
"""Messages in memory at a time. A body may take 1 MiB, though it mostly takes one thousandth of that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are wanted; what is None or empty does not narrow.

    `within` are intervals of paths, of which a message's path or old path lies in one. `since_ns` is when the
    change was noticed. `text` is part of the path or of the old one, in these very letters.
    """

    library_id: int | None = None
    event_types: tuple[str, ...] = ()
    within: tuple[Interval, ...] = ()
    since_ns: int | None = None
    state: State | None = None
    text: str | None = None


_IS_UNROUTED: Final = 10
"""Its place in a row, as in `Told`."""


@dataclass(frozen=True, slots=True)
class Told:
    """A recorded message. `library` and `root` are None where the library's row is gone; `body` where not asked for."""

    sequence: int
    event_id: str
    event_type: str
    routing_key: str
    library: str | None
    root: str | None
    path: bytes
    old_path: bytes | None
    created_ns: int
    published_ns: int | None
    is_unrouted: bool
    queue: str | None
    snapshot: str | None
    body: bytes | None

    @property
    def state(self) -> State:
        """What became of it."""
        if self.is_unrouted:
            return "unrouted"
        return "waiting" if self.published_ns is None else "sent"


_COLUMNS: Final = (
    "sequence, event_id, event_type, routing_key, libraries.name, libraries.path, fw_events.path, old_path, "
    "created_ns, published_ns, unrouted, queue, snapshot"
)
_STATES: Final = {
    "sent": "published_ns IS NOT NULL",
    "waiting": "published_ns IS NULL AND NOT unrouted",
    "unrouted": "unrouted",
}


class History:
    """The wanted messages of one catalog, in the order in which they were recorded.

    Every method may raise CatalogUnavailable or CatalogError. Messages that are pruned meanwhile are left out.
    """

    def __init__(self, database: Database, wanted: Wanted, *, with_bodies: bool) -> None:
        self._database = database
        self._since_ns = wanted.since_ns
        condition, self._values = _condition(wanted, _PLACE[database.is_sqlite])
        columns = f"{_COLUMNS}, {'body' if with_bodies else 'NULL'}"
        between = f"WHERE sequence > ? AND sequence <= ?{condition} ORDER BY sequence"
        self._page = database.driver_sql(
            f"SELECT {columns} FROM fw_events LEFT JOIN libraries ON libraries.id = fw_events.library_id "  # noqa: S608
            f"{between} LIMIT ?"
        )
        self._newest = database.driver_sql(
            f"SELECT sequence FROM fw_events {between} DESC LIMIT ?"  # noqa: S608 - constants and marks
        )
        # The sum keeps planners from walking along the sequences until a message is new enough.
        self._first_since = database.driver_sql(
            "SELECT min(sequence + 0) FROM fw_events WHERE created_ns >= ?"
        )

    def last(self) -> int:
        """The greatest sequence that is kept; 0 where there is none."""
        return self._one("SELECT max(sequence) FROM fw_events")

    def start(self, up_to: int) -> int:
        """The sequence before the first message that may be wanted; `up_to` where there is none."""
        if self._since_ns is not None:
            first = self._one(self._first_since, self._since_ns)
        else:
            first = self._one("SELECT min(sequence) FROM fw_events")
        return min(first - 1, up_to) if first else up_to

    def start_of_newest(self, count: int, up_to: int) -> int:
        """The sequence before the newest `count` wanted messages up to the given one."""
        first, upper, missing = self.start(up_to), up_to, count
        while missing and upper > first:
            lower = max(first, upper - SPAN)
            rows = self._ask(self._newest, lower, upper, min(missing, SPAN))
            missing -= len(rows)
            upper = lower if missing else rows[-1][0] - 1
        return upper

    def between(self, after: int, up_to: int) -> Iterator[Told]:
        """The wanted messages above `after` and up to `up_to`, as of the moment in which each page is read."""
        while after < up_to:
            upper = min(after + SPAN, up_to)
            rows = self._ask(self._page, after, upper, _PAGE)
            for row in rows:
                yield _told(row)
            after = rows[-1][0] if len(rows) == _PAGE else upper

    def _ask(self, sql: str, lower: int, upper: int, limit: int) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.exec_driver_sql(sql, (lower, upper, *self._values, limit)).all()

    def _one(self, sql: str, *values: int) -> int:
        with self._database.reading() as connection:
            return connection.exec_driver_sql(sql, values).scalar() or 0


def _condition(wanted: Wanted, place: str) -> tuple[str, tuple[Any, ...]]:
    """What narrows, with marks for its values. Nothing that could make a planner leave the sequences' index."""
    parts: list[str] = []
    values: list[Any] = []
    if wanted.library_id is not None:
        parts.append("fw_events.library_id + 0 = ?")
        values.append(wanted.library_id)
    if wanted.event_types:
        parts.append(f"event_type IN ({', '.join('?' * len(wanted.event_types))})")
        values.extend(wanted.event_types)
    if wanted.within:
        each = "fw_events.path >= ? AND fw_events.path < ? OR old_path >= ? AND old_path < ?"
        parts.append(f"({' OR '.join([each] * len(wanted.within))})")
        values.extend(end for interval in wanted.within for end in (*interval, *interval))
    if wanted.since_ns is not None:
        parts.append("created_ns + 0 >= ?")
        values.append(wanted.since_ns)
    if wanted.state is not None:
        parts.append(f"({_STATES[wanted.state]})")
    if wanted.text is not None:
        # In the bytes of the names, and not by LIKE, to which % and _ are any characters.
        parts.append(f"({place.format('fw_events.path')} OR {place.format('old_path')})")
        values.extend([wanted.text.encode("utf-8", "surrogateescape")] * 2)
    return "".join(f" AND {part}" for part in parts), tuple(values)


_PLACE: Final = {True: "instr({}, ?) > 0", False: "position(? in {}) > 0"}
"""Where bytes lie within bytes, on SQLite and on PostgreSQL."""


def _told(row: Sequence[Any]) -> Told:
    """SQLite has no booleans, but 0 and 1."""
    values = list(row)
    values[_IS_UNROUTED] = bool(values[_IS_UNROUTED])
    return Told(*values)
