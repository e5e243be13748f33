"""The parts, as the service starts and stops them, and who notices that one of them hangs. Owns no thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from file_watcher.assembly.chosen import Chosen
from file_watcher.catalog.requests import Instances
from file_watcher.desk import Desk
from file_watcher.fleet import Fleet
from file_watcher.housekeeping import Housekeeping
from file_watcher.job_clock import JobClock
from file_watcher.lifecycle import FailureReport
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.watchdog import Watchdog
from file_watcher.outlet import Delivery
from file_watcher.processing.deciding import DecidingStage
from file_watcher.processing.pool import WorkerPool
from file_watcher.processing.tags.pool import TagReader
from file_watcher.publishing.relay import Relay
from file_watcher.pulse import ProgressSource
from file_watcher.steering import Steering
from file_watcher.tenure import Tenure
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `service` starts and stops, and the `fleet` that changes what they work on."""

    fleet: Fleet
    chosen: Chosen
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


def watchdog_over(
    parts: Parts,
    metrics: Metrics,
    on_failure: FailureReport,
    limit: float,
    others: Iterable[ProgressSource] = (),
) -> Watchdog:
    """Whoever notices a stage that makes no progress for `limit` seconds, one of the parts or of the `others`."""
    alone = (parts.publisher, parts.relay, parts.deciding, parts.tags, parts.scheduler, parts.keeper)
    some = [stage for stage in (parts.jobs, parts.steering) if stage is not None]
    stages = [stage.progress for stage in (*alone, parts.desk, parts.house, parts.tenure, *some)]
    watched = [*stages, *parts.scans.progress, *others]
    return Watchdog(watched, metrics, on_failure, limit, [parts.pool.progress])
