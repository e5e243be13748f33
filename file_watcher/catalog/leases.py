"""Leases on a PostgreSQL that several instances share: each library has at most one owner.

A lease is a row with an epoch, and with times of the database's own clock. Who takes a library raises its epoch
before reading anything of it. Three rules keep a former owner out, be it frozen, cut off or merely slow:

- Every transaction that changes a library's rows, or records a message about it, locks the lease's row FOR KEY
  SHARE and compares the epoch (`LeaseBook.confirm`). Taking over needs the row FOR UPDATE, which waits for
  those locks: once it stands, whatever the former owner began is committed, and it can commit nothing more.
- A renewal changes no key, so that PostgreSQL lets it pass those locks: a snapshot that takes half a minute
  does not cost the lease. (Plain FOR SHARE would hold the renewal up.)
- A message goes out only before a deadline on this machine's clock (`LeaseBook.may_publish`), counted from
  before the last renewal was asked for, and a margin earlier than the database's own.

A client that is frozen within a transaction keeps its locks, of the outbox too, until the server ends its
session: see `idle_in_transaction_session_timeout` in `engines`.

Owns no thread; everything may be used by any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Connection

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING
from file_watcher.errors import LeaseLost
from file_watcher.system import boot_seconds

log = structlog.get_logger(__name__)

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1e9)::bigint"
"""The database's clock in nanoseconds."""


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Seconds. A lease lasts `ttl` from its renewal; nothing is published in the last `margin` of it, which
    covers how differently two clocks run and how long a message is on its way to the broker."""

    ttl: float = 10.0
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process holds: its epoch, and until when (see `system.boot_seconds`) it may publish."""

    epoch: int
    deadline: float


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease as it stands in the database: whose, and how many seconds are left of it (none: it is free)."""

    library_id: int
    instance_id: str
    epoch: int
    seconds_left: float


class LeaseGuard(Protocol):
    """Asked inside each transaction that changes rows or records messages of libraries."""

    def confirm(self, connection: Connection, library_ids: Iterable[int]) -> None:
        """Make sure that they are ours until the transaction ends. Raises LeaseLost where one is not."""


class _NoLeases:
    """Where one process owns the whole catalog there is nothing to confirm."""

    def confirm(self, connection: Connection, library_ids: Iterable[int]) -> None:
        """See LeaseGuard."""


NO_LEASES: Final[LeaseGuard] = _NoLeases()


class LeaseBook:
    """What this process holds, as far as it knows; every method may be called from any thread.

    `on_lost` is called, on the thread that found out, after a lease turned out to be another's.
    """

    def __init__(
        self,
        database: Database,
        on_lost: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._on_lost = on_lost
        self._clock = clock
        self._change = threading.Lock()
        self._leases: Mapping[int, Lease] = {}
        self._ask = database.driver_sql(
            "SELECT library_id, epoch FROM fw_leases WHERE library_id = ANY(?::int[]) "
            "ORDER BY library_id FOR KEY SHARE"
        )

    def held(self) -> Mapping[int, Lease]:
        """What is held, by library; never altered afterwards."""
        return self._leases

    def holds(self, library_id: int) -> bool:
        """Whether the library is ours as far as we know, also where its renewal is late."""
        return library_id in self._leases

    def may_publish(self, library_id: int) -> bool:
        """Whether nobody else can own the library at this moment."""
        lease = self._leases.get(library_id)
        return lease is not None and self._clock() < lease.deadline

    def put(self, leases: Mapping[int, Lease]) -> None:
        """Note what was taken."""
        with self._change:
            self._leases = {**self._leases, **leases}

    def extend(self, epochs: Mapping[int, int], deadline: float) -> None:
        """Note what was renewed, where it is held still under that epoch."""
        with self._change:
            renewed = {
                library_id: Lease(epoch, deadline)
                for library_id, epoch in epochs.items()
                if (lease := self._leases.get(library_id)) is not None and lease.epoch == epoch
            }
            self._leases = {**self._leases, **renewed}

    def drop(self, library_ids: Collection[int]) -> None:
        """Note what is held no more: nothing of it is committed or published from now on."""
        with self._change:
            self._leases = {each: lease for each, lease in self._leases.items() if each not in library_ids}

    def confirm(self, connection: Connection, library_ids: Iterable[int]) -> None:
        """See LeaseGuard. Raises CatalogUnavailable besides."""
        wanted, known = set(library_ids), self._leases
        if not wanted:
            return
        rows = connection.exec_driver_sql(self._ask, (sorted(wanted),)).all()
        stands = {row[0]: row[1] for row in rows}
        lost = frozenset(
            each for each in wanted if (lease := known.get(each)) is None or stands.get(each) != lease.epoch
        )
        if lost:
            self.lose({each: known[each].epoch for each in lost if each in known})
            raise LeaseLost(lost)

    def lose(self, epochs: Mapping[int, int]) -> None:
        """Note what another one has taken, where it is held under that epoch still: it may have been taken anew."""
        with self._change:
            before = self._leases
            self._leases = {each: lease for each, lease in before.items() if epochs.get(each) != lease.epoch}
            lost = sorted(before.keys() - self._leases.keys())
        if lost:
            log.warning(
                "leases_lost", libraries=lost, effect="another instance owns them now; nothing is lost"
            )
            self._on_lost()


class Leases:
    """The rows of `fw_leases`; what is asked here never waits behind a commit of this process.

    All methods raise CatalogUnavailable or CatalogError, and block for 5 s at most.
    """

    def __init__(self, database: Database, instance_id: str, config: LeaseConfig) -> None:
        self._database = database
        self._instance_id = instance_id
        self._config = config
        ttl_ns, sql = int(config.ttl * 1e9), database.driver_sql
        self._look = sql(
            f"SELECT library_id, instance_id, epoch, expires_ns - {_NOW} FROM fw_leases "  # noqa: S608
            "WHERE library_id = ANY(?::int[])"
        )
        self._take = sql(
            f"WITH now AS (SELECT {_NOW} AS ns), "  # noqa: S608
            "made AS (INSERT INTO fw_leases (library_id, instance_id, epoch, renewed_ns, expires_ns) "
            f"SELECT wanted, ?, 1, ns, ns + {ttl_ns} FROM unnest(?::int[]) AS wanted, now "
            "ON CONFLICT (library_id) DO NOTHING RETURNING library_id, epoch), "
            # A row that is locked has a commit of its former owner under way: the next try comes soon.
            "free AS (SELECT library_id FROM fw_leases WHERE library_id = ANY(?::int[]) "
            "AND (instance_id = ? OR expires_ns <= (SELECT ns FROM now)) FOR UPDATE SKIP LOCKED), "
            "taken AS (UPDATE fw_leases SET instance_id = ?, epoch = fw_leases.epoch + 1, renewed_ns = ns, "
            f"expires_ns = ns + {ttl_ns} FROM free, now WHERE fw_leases.library_id = free.library_id "
            "RETURNING fw_leases.library_id, fw_leases.epoch) "
            "SELECT library_id, epoch FROM made UNION ALL SELECT library_id, epoch FROM taken"
        )
        self._renew = sql(_of_ours(f"renewed_ns = {_NOW}, expires_ns = {_NOW} + {ttl_ns}"))
        self._release = sql(_of_ours(f"expires_ns = {_NOW}"))
        self._waiting = sql(
            "SELECT mine.id FROM unnest(?::int[]) AS mine(id) WHERE "  # noqa: S608
            f"EXISTS (SELECT 1 FROM fw_events WHERE {WAITING} AND library_id = mine.id) "
            "OR EXISTS (SELECT 1 FROM fw_job_windows WHERE library_id = mine.id)"
        )

    def look(self, library_ids: Collection[int]) -> dict[int, LeaseRow]:
        """The leases of these libraries, as far as anybody ever held them."""
        rows = self._rows(self._look, (sorted(library_ids),))
        return {each: LeaseRow(each, who, epoch, left / 1e9) for each, who, epoch, left in rows}

    def take(self, library_ids: Collection[int]) -> dict[int, int]:
        """Take those that are free, or held in our name by a process before us; the new epochs of what was got."""
        ids, me = sorted(library_ids), self._instance_id
        return dict(self._rows(self._take, (me, ids, ids, me, me)))

    def renew(self, epochs: Mapping[int, int]) -> frozenset[int]:
        """Renew what is held under these epochs; what is missing in the answer was lost to another."""
        return self._change_ours(self._renew, epochs)

    def release(self, epochs: Mapping[int, int]) -> frozenset[int]:
        """Let them expire at once."""
        return self._change_ours(self._release, epochs)

    def with_something_to_tell(self, library_ids: Collection[int]) -> frozenset[int]:
        """Those of the libraries that have messages which nobody has published yet, or jobs that are being gathered."""
        return frozenset(each for (each,) in self._rows(self._waiting, (sorted(library_ids),)))

    def _change_ours(self, sql: str, epochs: Mapping[int, int]) -> frozenset[int]:
        return frozenset(each for (each,) in self._rows(sql, (list(epochs), list(epochs.values()))))

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        # What is asked there is a transaction of its own, also where it changes something.
        with self._database.briefly():
            return self._database.ask(sql, values)


def _of_ours(change: str) -> str:
    """Change leases that still have the epochs which are given with them."""
    return (
        f"UPDATE fw_leases SET {change} FROM unnest(?::int[], ?::bigint[]) AS ours(library_id, epoch) "  # noqa: S608
        "WHERE fw_leases.library_id = ours.library_id AND fw_leases.epoch = ours.epoch "
        "RETURNING fw_leases.library_id"
    )
