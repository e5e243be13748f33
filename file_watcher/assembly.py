"""Builds the parts of the service out of the settings and joins them. Starts nothing.

Each part gets its own small configuration here; this is the only place that knows all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from file_watcher.barrier import Barrier
from file_watcher.catalog.changes import change_feed
from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.database import Database
from file_watcher.catalog.depth import DepthWatch
from file_watcher.catalog.job_windows import JobWindows
from file_watcher.catalog.journal import LogLines
from file_watcher.catalog.leases import LeaseGuard
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.requests import Instances, Requests, Vitals
from file_watcher.catalog.snapshot import SnapshotWriter
from file_watcher.catalog.steering import read_steering
from file_watcher.catalog.store import CatalogStore
from file_watcher.desk import Desk
from file_watcher.fleet import Fleet
from file_watcher.housekeeping import Housekeeping, HousekeepingConfig
from file_watcher.job_clock import JobClock, JobCloser, JobConfig
from file_watcher.jobs.rules import problems_of_jobs
from file_watcher.jobs.windows import changes_of
from file_watcher.ledger import Ledger, LibraryMemory, SystemClock
from file_watcher.lifecycle import FailureReport
from file_watcher.model import FileStat, OutboxMessage, Ticket
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.watchdog import Watchdog
from file_watcher.outlet import Backlog, Delivery, Outlet, source_of
from file_watcher.part_configs import (
    broker_config,
    by_library,
    debounce_timing,
    desk_config,
    goes_first,
    granularity_ns,
    hashes,
    kept_as,
    longest_wait,
    looking,
    pacing,
    pauses,
    pool_config,
    read_rate,
    relay_config,
    scan_config,
    settle_config,
    stream_config,
    wants_hint,
)
from file_watcher.paths import inner, real_path
from file_watcher.planning import PlanConfig
from file_watcher.processing.decider import Decider, DeciderConfig
from file_watcher.processing.deciding import DecidingConfig, DecidingStage
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.processing.lease import WriterProbe
from file_watcher.processing.pool import WorkerPool
from file_watcher.processing.read_limit import ReadLimit
from file_watcher.processing.tags.pool import TagReader
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.publishing.relay import Relay
from file_watcher.roster import Roster, Watched
from file_watcher.senses import DecidersEye, LeaseTrust, WorkersSenses
from file_watcher.settings import Layers, Settings
from file_watcher.snapshots import Replayer
from file_watcher.steering import Planner, Steering, candidates_of
from file_watcher.tenure import Candidate, Tenure, tenure_over
from file_watcher.version import VERSION
from file_watcher.watching.comparing import room_beside
from file_watcher.watching.dirty import DebounceBounds
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


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `service` starts and stops, and the `fleet` that changes what they work on."""

    fleet: Fleet
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
    jobs: JobClock | None
    """None inside another program, where nobody reads jobs."""
    steering: Steering | None
    """None inside another program, which says itself what is watched."""
    tenure: Tenure


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
    layers: Layers | None = None
    """What the settings were made of, where the database's rows steer, too; None inside another program."""
    log_from: Callable[[str], None] = lambda _level: None
    """Takes the level from which on the log is kept in the database."""

    @property
    def owns_all(self) -> bool:
        """Whether all that waits in the outbox is ours to send, also of libraries that are watched no more.

        Inside another program only what it watches now: a catalog may have served other folders before.
        """
        return self.database.is_sqlite and self.outlet is None


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

    def begin_reading(self, ticket: Ticket, stat: FileStat) -> None:
        self._scheduler.begin_reading(ticket, stat)

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self._scheduler.again(ticket, stat, after)

    def rest(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self._scheduler.done(ticket, look_again_after=after, stat=stat)


def configured_libraries(database: Database, settings: Settings) -> list[Watched]:
    """The libraries of the configured roots, by the settings of the process. Raises CatalogUnavailable."""
    if not settings.watch.enabled:
        return []
    rows, watch = LibraryRows(database), settings.watch
    libraries = [rows.ensure_library(real_path(root)) for root in settings.roots]
    if watch.create_missing:
        for root, library in zip(settings.roots, libraries, strict=True):
            state = rows.library_state(library.id)
            was_watched = state is not None and state.root_inode is not None
            make_missing(inner(root), was_watched=was_watched)
    return [Watched.by(library, watch) for library in libraries]


def assemble(at: Surroundings) -> Parts:
    """Build and join all parts. Reads and writes the catalog's libraries; raises CatalogUnavailable."""
    planner = _planner(at)
    plan = None if planner is None else planner.plan()
    if plan is not None:
        at = replace(at, settings=plan.settings)
    watch = at.settings.watch
    roster = Roster()
    tenure, leases = tenure_over(
        at.database,
        at.instance_id,
        in_use=lambda number: roster.get(number) is not None,
        on_held=lambda held: _send_for(held, outbox, relay),
        on_changed=lambda: follow(),  # noqa: PLW0108 - built below
        on_failure=at.on_failure,
    )
    store = CatalogStore(at.database, leases=leases)
    outbox = Outbox(at.database, None if at.owns_all else [], leases)
    depth = DepthWatch(outbox.depth)
    relay = _relay(at, outbox, roster, tenure)
    configured = _configured(at, tenure)
    if planner is None or plan is None:
        watched = configured()
    else:
        watched = planner.watched(plan, tenure.hold(candidates_of(plan)))
    for each in watched:
        roster.put(each)
    own = _owner_of(store, outbox, is_alone=at.database.is_sqlite)
    own(watched)
    publisher = _publisher(at, relay, depth, roster)
    jobs = _jobs(at, roster, relay, tenure, leases)
    eyes, trust = Eyes(MountReader()), LeaseTrust()
    eye = DecidersEye(eyes, roster, tenure.holds)

    # The pipeline is a circle: what the decider wants to have looked at goes back to the scheduler.
    scheduler = Scheduler(
        by_library(roster.rules_of, debounce_timing),
        lambda hint, library: wants_hint(hint, roster.filter_of(library)),
        lambda ticket, timeout: pool.put(ticket, timeout),  # noqa: PLW0108 - built below
        lambda ticket: scans.request_folder(ticket),  # noqa: PLW0108 - built below
        at.metrics,
        at.on_failure,
        DebounceBounds.beside(watch.buffer_size),
        goes_first(roster.rules_of),
    )
    deciding = _deciding(at, _ledger(at, store, roster, jobs), eye, roster, scheduler, relay)
    tags = _tags(at)
    pool, read_limit = _pool(
        at, store, eye, roster, trust, tags, _Sink(deciding, scheduler, Backlog.of(at.outlet, _fresh(outbox)))
    )
    memory = LibraryMemory(
        LibraryRows(at.database, leases),
        store,
        outbox,
        at.instance_id,
        trust.learn,
        relay.wake,
        at.metrics,
        deciding.finish_round,
    )
    keeper = LibraryKeeper(
        [kept_as(each) for each in watched],
        eyes,
        scheduler.observe,
        memory,
        at.on_failure,
        watch.max_watches,
    )
    barrier = Barrier(keeper, scheduler, deciding, outbox, relay, lambda: longest_wait(roster))
    scans = ScanStage(
        by_library(roster.rules_of, scan_config),
        room_beside(watch.buffer_size),
        store,
        eyes,
        roster.filter_of,
        scheduler,
        barrier.is_decided,
        keeper.may_delete,
        keeper.note_scanned,
        at.metrics,
        at.on_failure,
    )
    replayer = Replayer(
        SnapshotWriter(at.database, leases), roster.libraries, at.instance_id, relay.wake, at.metrics
    )
    desk, instances = _desk(at, keeper, barrier, replayer)
    _show(at.metrics, depth, pool, deciding, scheduler, scans, keeper)
    house = _housekeeping(at, outbox, depth)
    fleet = Fleet(roster, keeper, kept_as, deciding.finish_round, own, memory.say_goodbye)
    adjust = _adjusting(pool, read_limit, deciding, scheduler, scans, relay, at.log_from)
    steering = (
        None
        if planner is None
        else Steering(
            planner, at.settings, change_feed(at.database), tenure, fleet.apply, adjust, at.on_failure
        )
    )

    def follow() -> None:
        if steering is None:
            fleet.apply(configured())
        else:
            steering.wake()

    return Parts(
        fleet,
        pool,
        tags,
        deciding,
        scheduler,
        scans,
        keeper,
        relay,
        publisher,
        desk,
        house,
        instances,
        jobs,
        steering,
        tenure,
    )


def _planner(at: Surroundings) -> Planner | None:
    if at.layers is None:
        return None
    libraries = LibraryRows(at.database)
    config = PlanConfig(
        at.instance_id,
        at.layers,
        is_alone=at.database.is_sqlite,
        catalog_file=at.database.path,
        problems_of_jobs=problems_of_jobs,
    )
    return Planner(
        config,
        lambda: read_steering(at.database),
        lambda roots: libraries.ensure_libraries(roots, at.instance_id),
    )


def _adjusting(
    pool: WorkerPool,
    read_limit: ReadLimit,
    deciding: DecidingStage,
    scheduler: Scheduler,
    scans: ScanStage,
    relay: Relay,
    log_from: Callable[[str], None],
) -> Callable[[Settings], None]:
    """Passes on what holds for the process as a whole and may change while it runs."""

    def adjust(settings: Settings) -> None:
        watch = settings.watch
        pool.resize(pool_config(settings))
        read_limit.set_rate(read_rate(watch))
        deciding.set_batch_size(watch.batch_size)
        scheduler.resize(watch.buffer_size)
        scans.resize(watch.buffer_size)
        relay.set_rate(watch.rate_limit)
        log_from(watch.log_to_database)

    return adjust


def watchdog_over(parts: Parts, metrics: Metrics, on_failure: FailureReport, limit: float) -> Watchdog:
    """Whoever notices a stage that makes no progress for `limit` seconds."""
    alone = (parts.publisher, parts.relay, parts.deciding, parts.tags, parts.scheduler, parts.keeper)
    some = [stage for stage in (parts.jobs, parts.steering) if stage is not None]
    stages = [stage.progress for stage in (*alone, parts.desk, parts.house, parts.tenure, *some)]
    return Watchdog([*stages, *parts.scans.progress], metrics, on_failure, limit, [parts.pool.progress])


def _configured(at: Surroundings, tenure: Tenure) -> Callable[[], list[Watched]]:
    """What our own settings name and is ours now; asked where nothing else steers."""
    named: list[Watched] = [] if at.layers is not None else configured_libraries(at.database, at.settings)
    candidates = [Candidate(each.library.id, each.library.root, is_named=True) for each in named]

    def configured() -> list[Watched]:
        held = tenure.hold(candidates)
        return [each for each in named if each.library.id in held]

    return configured


def _relay(at: Surroundings, outbox: Outbox, roster: Roster, tenure: Tenure) -> Relay:
    return Relay(
        outbox,
        relay_config(at.settings.watch, None if at.outlet is None else at.outlet.buffer),
        at.on_failure,
        telemetry=at.metrics,
        on_delivered=at.on_delivered,
        pacing=pacing(roster),
        may_publish=tenure.may_publish,
    )


def _publisher(at: Surroundings, relay: Relay, depth: DepthWatch, roster: Roster) -> Delivery:
    if at.outlet is not None:
        return at.outlet.deliver(relay, source_of(LibraryRows(at.database), roster.libraries(), depth.count))
    return Publisher(broker_config(at.settings), at.instance_id, relay, at.on_failure, roster.job_queues)


def _send_for(held: Collection[int], outbox: Outbox, relay: Relay) -> None:
    """Publish what waits of the libraries whose leases are held, also of those that are watched no more."""
    outbox.own(held)
    relay.reread()


def _jobs(
    at: Surroundings, roster: Roster, relay: Relay, tenure: Tenure, leases: LeaseGuard
) -> JobClock | None:
    if at.outlet is not None:
        return None
    closer = JobCloser(
        JobConfig(at.instance_id, at.settings.rabbitmq.jobs_exchange),
        JobWindows(at.database, leases),
        roster.jobs_of,
        lambda: None if at.owns_all else tenure.held(),
        relay.wake,
        at.metrics,
    )
    return JobClock(closer, at.on_failure)


def _ledger(at: Surroundings, store: CatalogStore, roster: Roster, jobs: JobClock | None) -> Ledger:
    if jobs is None:
        return Ledger(store, at.instance_id, at.metrics)
    return Ledger(
        store,
        at.instance_id,
        at.metrics,
        lambda events: changes_of(events, roster.jobs_of, roster.of),
        jobs.expect,
    )


def _deciding(
    at: Surroundings,
    ledger: Ledger,
    eye: DecidersEye,
    roster: Roster,
    scheduler: Scheduler,
    relay: Relay,
) -> DecidingStage:
    watch = at.settings.watch
    decider = Decider(
        DeciderConfig(
            watch.move_window,
            watch.max_wait,
            by_library(roster.rules_of, lambda library, _: granularity_ns(library)),
        ),
        ledger,
        eye,
        SystemClock(),
        lambda _now: scheduler.undecided(longest_wait(roster)),
    )
    return DecidingStage(
        DecidingConfig(watch.batch_size, by_library(roster.rules_of, pauses)),
        decider,
        scheduler,
        roster.of,
        relay.wake,
        at.metrics,
        at.on_failure,
    )


def _pool(
    at: Surroundings,
    store: CatalogStore,
    eye: DecidersEye,
    roster: Roster,
    trust: LeaseTrust,
    tags: TagReader,
    sink: _Sink,
) -> tuple[WorkerPool, ReadLimit]:
    read_limit = ReadLimit(read_rate(at.settings.watch), lambda seconds: pool.wait_for_close(seconds))  # noqa: PLW0108
    senses = WorkersSenses(
        eye,
        store,
        WriterProbe(trust),
        # One thread is always left for files that are soon read. PLW0108: the pool is built below.
        Fingerprinter(
            lambda: pool.gives_up(),  # noqa: PLW0108
            limiter=read_limit,
            long_readings=lambda: max(pool.threads - 1, 1),
        ),
        tags if at.outlet is None else None,
        at.metrics,
        looking_of=by_library(roster.rules_of, looking),
    )
    examiner = Examiner(
        by_library(roster.rules_of, settle_config),
        senses,
        by_library(roster.rules_of, stream_config),
        hashes=by_library(roster.rules_of, hashes),
        begins_reading=sink.begin_reading,
    )
    pool = WorkerPool(
        pool_config(at.settings),
        examiner.examine,
        sink,
        at.metrics,
        at.on_failure,
    )
    return pool, read_limit


def _tags(at: Surroundings) -> TagReader:
    watch = at.settings.watch
    return TagReader(
        _TAG_PROCESSES,
        watch.tag_memory_limit,
        watch.tag_timeout,
        on_failure=at.on_failure,
        telemetry=at.metrics,
        niceness=watch.nice,
        follow_symlinks=True,  # each library's own rule holds for the look that found a regular file there
    )


def _owner_of(store: CatalogStore, outbox: Outbox, *, is_alone: bool) -> Callable[[Sequence[Watched]], None]:
    """Says whose rows are seen, and whose messages are sent; where others share the catalog the leases say that."""

    def own(watched: Sequence[Watched]) -> None:
        store.own(
            [each.library for each in watched],
            learns_attributes=[each.library.id for each in watched if each.watch.emit_chmod],
        )
        if is_alone:
            outbox.own([each.library.id for each in watched])

    return own


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
        lambda: _vitals(at.metrics, keeper),
    ), instances


def _vitals(metrics: Metrics, keeper: LibraryKeeper) -> Vitals:
    """What the heartbeat tells of the work."""
    totals = metrics.totals()
    libraries = [{"name": name, "state": state} for name, state in keeper.health().facts.items()]
    return Vitals(libraries, totals, totals["errors"], metrics.last_recorded_ns)


def _housekeeping(at: Surroundings, outbox: Outbox, depth: DepthWatch) -> Housekeeping:
    seconds, events = at.settings.watch.retention
    return Housekeeping(
        HousekeepingConfig(seconds, events),
        outbox,
        Compaction(at.database, outbox, at.settings.watch.outbox_limit, at.metrics.merged),
        depth.count,
        at.on_failure,
        LogLines(at.database),
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
