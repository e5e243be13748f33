"""Builds what attends to the service: the desk for commands, housekeeping, and what metrics show. Owns no thread."""

from __future__ import annotations

from file_watcher.assembly.sending import Sending
from file_watcher.assembly.surroundings import Ground
from file_watcher.barrier import Barrier
from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.depth import DepthWatch
from file_watcher.catalog.journal import LogLines
from file_watcher.catalog.requests import Instances, Requests, Vitals
from file_watcher.catalog.snapshot import SnapshotWriter
from file_watcher.desk import Desk
from file_watcher.housekeeping import Housekeeping, HousekeepingConfig
from file_watcher.ledger import SystemClock
from file_watcher.ops.metrics import Metrics
from file_watcher.part_configs import desk_config
from file_watcher.processing.deciding import DecidingStage
from file_watcher.processing.pool import WorkerPool
from file_watcher.snapshots import Replayer
from file_watcher.version import VERSION
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler


def desk_on(
    ground: Ground, sending: Sending, keeper: LibraryKeeper, barrier: Barrier
) -> tuple[Desk, Instances]:
    """Whoever answers commands, and the rows of the instances, which hold our heartbeat."""
    at = ground.at
    replayer = Replayer(
        SnapshotWriter(at.database, ground.leases),
        ground.roster.libraries,
        at.instance_id,
        sending.relay.wake,
        at.metrics,
    )
    instances = Instances(at.database, VERSION)
    desk = Desk(
        desk_config(at.instance_id, is_embedded=at.outlet is not None),
        Requests(at.database, None if at.database.is_sqlite else at.instance_id),
        instances,
        keeper,
        barrier,
        replayer,
        at.detail,
        at.keep_ownership,
        at.on_failure,
        lambda: _vitals(at.metrics, keeper),
    )
    return desk, instances


def house_on(ground: Ground, sending: Sending) -> Housekeeping:
    """Whoever prunes what is old, and merges what could not be sent."""
    at = ground.at
    seconds, events = at.settings.watch.retention
    return Housekeeping(
        HousekeepingConfig(seconds, events),
        sending.outbox,
        Compaction(at.database, sending.outbox, at.settings.watch.outbox_limit, at.metrics.merged),
        sending.depth.count,
        at.on_failure,
        LogLines(at.database),
    )


def show(
    metrics: Metrics,
    sending: Sending,
    pool: WorkerPool,
    deciding: DecidingStage,
    scheduler: Scheduler,
    scans: ScanStage,
    keeper: LibraryKeeper,
) -> None:
    """Let the metrics see how full everything is."""
    metrics.set_outbox_source(lambda: _depth_and_age(sending.depth))
    metrics.set_queue_source("workers", pool.depth)
    metrics.set_queue_source("decider", deciding.depth)
    metrics.set_queue_source("dirty", scheduler.depth)
    metrics.set_queue_source("scans", scans.depth)
    metrics.set_watches_source(keeper.watches)


def _vitals(metrics: Metrics, keeper: LibraryKeeper) -> Vitals:
    """What the heartbeat tells of the work."""
    totals = metrics.totals()
    libraries = [{"name": name, "state": state} for name, state in keeper.health().facts.items()]
    return Vitals(libraries, totals, totals["errors"], metrics.last_recorded_ns)


def _depth_and_age(depth: DepthWatch) -> tuple[int, float | None]:
    count, oldest_ns = depth.depth()
    return count, None if oldest_ns is None else max(0.0, (SystemClock().now_ns() - oldest_ns) / 1e9)
