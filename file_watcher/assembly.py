"""Builds the parts of the service out of the settings and joins them. Starts nothing.

Each part gets its own small configuration here; this is the only place that knows all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from file_watcher.barrier import Barrier
from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.database import Database
from file_watcher.catalog.depth import DepthWatch
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.requests import Instances, Requests
from file_watcher.catalog.snapshot import SnapshotWriter
from file_watcher.catalog.store import CatalogStore
from file_watcher.desk import Desk
from file_watcher.housekeeping import Housekeeping, HousekeepingConfig
from file_watcher.ledger import Ledger, LibraryMemory, SystemClock
from file_watcher.lifecycle import FailureReport
from file_watcher.model import FileStat, Library, OutboxMessage, Ticket
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.watchdog import Watchdog
from file_watcher.outlet import Backlog, Delivery, Outlet, source_of
from file_watcher.part_configs import (
    broker_config,
    desk_config,
    goes_first,
    granularity_ns,
    keeper_config,
    relay_config,
    stream_config,
    wants_hint,
)
from file_watcher.processing.decider import Decider, DeciderConfig
from file_watcher.processing.deciding import DecidingConfig, DecidingStage
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.processing.lease import WriterProbe
from file_watcher.processing.pool import PoolConfig, WorkerPool
from file_watcher.processing.read_limit import ReadLimit
from file_watcher.processing.settle import SettleConfig
from file_watcher.processing.tags.pool import TagReader
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.publishing.relay import Relay
from file_watcher.senses import DecidersEye, LeaseTrust, Libraries, WorkersSenses
from file_watcher.settings import Settings
from file_watcher.snapshots import Replayer
from file_watcher.version import VERSION
from file_watcher.watching.comparing import ScanConfig
from file_watcher.watching.dirty import DebounceBounds
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.missing import make_missing
from file_watcher.watching.mounts import MountReader
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sight import Eyes

_TAG_PROCESSES: Final = 2
"""One child reads 5,000 files a second, more than two cores can hash beside it; the other one starts where a file
keeps the first one busy."""
_FRESH_SECONDS: Final = 0.02
_MOST_WAITING: Final = 50_000
"""Dirty paths kept before their folders stand for them (35 MB); far beyond what scans make dirty by themselves,
which is four times the buffer's size."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `service` starts and stops."""

    pool: WorkerPool
    tags: TagReader
    deciding: DecidingStage
    scheduler: Scheduler
    scans: ScanStage
    keeper: LibraryKeeper
    relay: Relay
    publisher: Delivery
    desk: Desk
    house: Housekeeping
    instances: Instances


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts share: the open database, who we are, where reports go."""

    settings: Settings
    instance_id: str
    database: Database
    metrics: Metrics
    on_failure: FailureReport
    on_delivered: Callable[[OutboxMessage], None]
    detail: Callable[[], Mapping[str, Any]]
    keep_ownership: Callable[[], None]
    outlet: Outlet | None = None
    """Where messages go instead of to the broker. Metadata are left to whoever is there to ask for them."""


class _Sink:
    """Where the pool's results go: observations to the decider, the rest back to the scheduler."""

    def __init__(self, deciding: DecidingStage, scheduler: Scheduler, backlog: Backlog | None) -> None:
        self._deciding = deciding
        self._scheduler = scheduler
        self._backlog = backlog

    def wait_for_room(self, timeout: float) -> bool:
        if self._backlog is not None and not self._backlog.wait_for_room(timeout):
            return False
        return self._deciding.wait_for_room(timeout)

    def submit(self, ticket: Ticket, examination: Examination) -> None:
        self._deciding.submit(ticket, examination)

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self._scheduler.again(ticket, stat, after)

    def rest(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self._scheduler.done(ticket, look_again_after=after, stat=stat)


def watched_libraries(database: Database, settings: Settings) -> list[tuple[Library, PathFilter]]:
    """The libraries of the configured roots, with their filters. Raises CatalogUnavailable."""
    if not settings.watch.enabled:
        return []
    rows, watch = LibraryRows(database), settings.watch
    libraries = [rows.ensure_library(os.fsencode(os.path.realpath(root))) for root in settings.roots]
    if watch.create_missing:
        for root, library in zip(settings.roots, libraries, strict=True):
            state = rows.library_state(library.id)
            was_watched = state is not None and state.root_inode is not None
            make_missing(os.fsencode(root), was_watched=was_watched)
    return [
        (
            library,
            PathFilter(library.root, watch.patterns, watch.ignore_patterns, recursive=watch.recursive),
        )
        for library in libraries
    ]


def assemble(at: Surroundings) -> Parts:
    """Build and join all parts. Reads and writes the catalog's libraries; raises CatalogUnavailable."""
    watch = at.settings.watch
    watched = watched_libraries(at.database, at.settings)
    libraries = Libraries(watched)
    store = CatalogStore(at.database)
    store.own((library for library, _ in watched), learns_attributes=watch.emit_chmod)
    outbox = Outbox(at.database, [library.id for library, _ in watched])
    depth = DepthWatch(outbox.depth)
    relay, publisher = _publishing(at, outbox, depth, [library for library, _ in watched])
    eyes, trust = Eyes(MountReader()), LeaseTrust()
    eye = DecidersEye(eyes, libraries)

    # The pipeline is a circle: what the decider wants to have looked at goes back to the scheduler.
    scheduler = Scheduler(
        watch.debounce_time,
        lambda hint, library: wants_hint(hint, libraries.filter_of(library)),
        lambda ticket, timeout: pool.put(ticket, timeout),  # noqa: PLW0108 - built below
        lambda ticket: scans.request_folder(ticket),  # noqa: PLW0108 - built below
        at.metrics,
        at.on_failure,
        watch.max_wait,
        DebounceBounds(waiting=max(_MOST_WAITING, 16 * watch.buffer_size)),
        goes_first(watch, watched),
    )
    deciding = _deciding(at, store, eye, libraries, scheduler, relay, watched)
    tags = _tags(at)
    pool = _pool(
        at, store, eye, trust, tags, _Sink(deciding, scheduler, Backlog.of(at.outlet, _fresh(outbox)))
    )
    memory = LibraryMemory(
        LibraryRows(at.database), store, outbox, at.instance_id, trust.learn, relay.wake, at.metrics
    )
    keeper = LibraryKeeper(
        keeper_config(at.settings), watched, eyes, scheduler.observe, memory, at.on_failure
    )
    barrier = Barrier(keeper, scheduler, deciding, outbox, relay, watch.max_wait)
    scans = ScanStage(
        ScanConfig(2 * watch.buffer_size, watch.recursive, watch.follow_symlinks),
        store,
        eyes,
        libraries.filter_of,
        scheduler,
        barrier.is_decided,
        keeper.may_delete,
        keeper.note_scanned,
        at.metrics,
        at.on_failure,
    )
    replayer = _replayer(at, watched, relay)
    desk, instances = _desk(at, keeper, barrier, replayer)
    _show(at.metrics, depth, pool, deciding, scheduler, scans, keeper)
    house = _housekeeping(at, outbox, depth)
    return Parts(pool, tags, deciding, scheduler, scans, keeper, relay, publisher, desk, house, instances)


def watchdog_over(parts: Parts, metrics: Metrics, on_failure: FailureReport, limit: float) -> Watchdog:
    """Whoever notices a stage that makes no progress for `limit` seconds."""
    alone = (parts.publisher, parts.relay, parts.deciding, parts.tags, parts.scheduler, parts.keeper)
    stages = [stage.progress for stage in (*alone, parts.desk, parts.house)]
    return Watchdog([*stages, *parts.pool.progress, *parts.scans.progress], metrics, on_failure, limit)


def _publishing(
    at: Surroundings, outbox: Outbox, depth: DepthWatch, watched: Sequence[Library]
) -> tuple[Relay, Delivery]:
    relay = Relay(
        outbox,
        relay_config(at.settings.watch, None if at.outlet is None else at.outlet.buffer),
        at.on_failure,
        telemetry=at.metrics,
        on_delivered=at.on_delivered,
    )
    if at.outlet is not None:
        return relay, at.outlet.deliver(relay, source_of(LibraryRows(at.database), watched, depth.count))
    return relay, Publisher(broker_config(at.settings), at.instance_id, relay, at.on_failure)


def _deciding(
    at: Surroundings,
    store: CatalogStore,
    eye: DecidersEye,
    libraries: Libraries,
    scheduler: Scheduler,
    relay: Relay,
    watched: Sequence[tuple[Library, PathFilter]],
) -> DecidingStage:
    watch = at.settings.watch
    decider = Decider(
        DeciderConfig(watch.move_window, watch.max_wait, granularity_ns(watched)),
        Ledger(store, at.instance_id, at.metrics),
        eye,
        SystemClock(),
        lambda _now: scheduler.oldest_undecided(watch.max_wait),
    )
    return DecidingStage(
        DecidingConfig(watch.batch_size, watch.poll_interval, granularity_ns(watched) / 1e9),
        decider,
        scheduler,
        libraries.of,
        relay.wake,
        at.metrics,
        at.on_failure,
    )


def _pool(
    at: Surroundings,
    store: CatalogStore,
    eye: DecidersEye,
    trust: LeaseTrust,
    tags: TagReader,
    sink: _Sink,
) -> WorkerPool:
    watch, rate = at.settings.watch, at.settings.watch.read_rate_limit
    in_flight = at.settings.max_concurrent_files
    threads = min(watch.scan_workers, in_flight)
    limiter = ReadLimit(rate * 1e6, lambda seconds: pool.wait_for_close(seconds)) if rate else None  # noqa: PLW0108
    senses = WorkersSenses(
        eye,
        store,
        WriterProbe(trust),
        # One thread is always left for files that are soon read. PLW0108: the pool is built below.
        Fingerprinter(lambda: pool.gives_up(), limiter=limiter, long_readings=max(threads - 1, 1)),  # noqa: PLW0108
        tags if at.outlet is None else None,
        at.metrics,
        follow_symlinks=watch.follow_symlinks,
        wants_attributes=watch.emit_chmod,
    )
    examiner = Examiner(SettleConfig(watch.debounce_time, watch.max_wait), senses, stream_config(watch))
    pool = WorkerPool(
        PoolConfig(threads, watch.buffer_size, in_flight),
        examiner.examine,
        sink,
        at.metrics,
        at.on_failure,
    )
    return pool


def _tags(at: Surroundings) -> TagReader:
    watch = at.settings.watch
    return TagReader(
        _TAG_PROCESSES,
        watch.tag_memory_limit,
        watch.tag_timeout,
        on_failure=at.on_failure,
        telemetry=at.metrics,
        niceness=watch.nice,
        follow_symlinks=watch.follow_symlinks,
    )


def _replayer(at: Surroundings, watched: Sequence[tuple[Library, PathFilter]], relay: Relay) -> Replayer:
    libraries = [library for library, _ in watched]
    return Replayer(SnapshotWriter(at.database), libraries, at.instance_id, relay.wake, at.metrics)


def _desk(
    at: Surroundings, keeper: LibraryKeeper, barrier: Barrier, replayer: Replayer
) -> tuple[Desk, Instances]:
    instances = Instances(at.database, VERSION)
    requests = Requests(at.database, None if at.database.is_sqlite else at.instance_id)
    config = desk_config(at.instance_id, is_embedded=at.outlet is not None)
    return Desk(
        config,
        requests,
        instances,
        keeper,
        barrier,
        replayer,
        at.detail,
        at.keep_ownership,
        at.on_failure,
    ), instances


def _housekeeping(at: Surroundings, outbox: Outbox, depth: DepthWatch) -> Housekeeping:
    seconds, events = at.settings.watch.retention
    return Housekeeping(
        HousekeepingConfig(seconds, events),
        outbox,
        Compaction(at.database, outbox, at.settings.watch.outbox_limit, at.metrics.merged),
        depth.count,
        at.on_failure,
    )


def _show(
    metrics: Metrics,
    depth: DepthWatch,
    pool: WorkerPool,
    deciding: DecidingStage,
    scheduler: Scheduler,
    scans: ScanStage,
    keeper: LibraryKeeper,
) -> None:
    """Let the metrics see how full everything is."""
    metrics.set_outbox_source(lambda: _depth_and_age(depth))
    metrics.set_queue_source("workers", pool.depth)
    metrics.set_queue_source("decider", deciding.depth)
    metrics.set_queue_source("dirty", scheduler.depth)
    metrics.set_queue_source("scans", scans.depth)
    metrics.set_watches_source(keeper.watches)


def _fresh(outbox: Outbox) -> Callable[[], int]:
    """How many messages wait, hardly older than now: a buffer is full within moments, and never holds many."""
    return DepthWatch(outbox.depth, longest=_FRESH_SECONDS).count


def _depth_and_age(depth: DepthWatch) -> tuple[int, float | None]:
    count, oldest_ns = depth.depth()
    return count, None if oldest_ns is None else max(0.0, (SystemClock().now_ns() - oldest_ns) / 1e9)
