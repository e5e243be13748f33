"""Builds the way out: outbox, relay and publisher, and the clock that closes windows of jobs. Owns no thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from file_watcher.assembly.surroundings import Ground
from file_watcher.catalog.depth import DepthWatch
from file_watcher.catalog.job_windows import JobWindows
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.catalog.outbox import Outbox
from file_watcher.job_clock import JobClock, JobCloser, JobConfig
from file_watcher.model import Library
from file_watcher.outlet import Delivery, source_of
from file_watcher.part_configs import broker_config, pacing, relay_config
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.publishing.relay import Relay

_FRESH_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sending:
    """What is recorded and how it is read again; `depth` tells how much waits."""

    outbox: Outbox
    depth: DepthWatch
    relay: Relay

    def fresh(self) -> Callable[[], int]:
        """How many messages wait, hardly older than now: a buffer is full within moments, and never holds many."""
        return DepthWatch(self.outbox.depth, longest=_FRESH_SECONDS).count


def sending_on(ground: Ground) -> Sending:
    """The outbox and the relay that reads it."""
    at = ground.at
    outbox = Outbox(at.database, None if at.owns_all else [], ground.leases)
    relay = Relay(
        outbox,
        relay_config(at.settings.watch, None if at.outlet is None else at.outlet.buffer),
        at.on_failure,
        telemetry=at.metrics,
        on_delivered=at.on_delivered,
        pacing=pacing(ground.roster),
        may_publish=ground.tenure.may_publish,
    )
    return Sending(outbox, DepthWatch(outbox.depth), relay)


def publisher_on(ground: Ground, sending: Sending) -> Delivery:
    """Whoever takes the relay's messages: the broker's publisher, or another program. The roster is filled.

    Raises CatalogUnavailable.
    """
    at, roster = ground.at, ground.roster
    if at.outlet is not None:
        source = source_of(LibraryRows(at.database), roster.libraries(), sending.depth.count)
        return at.outlet.deliver(sending.relay, source)
    return Publisher(
        broker_config(at.settings), at.instance_id, sending.relay, at.on_failure, roster.job_queues
    )


def expecting(ground: Ground, sending: Sending) -> Callable[[Library], None]:
    """Tells the program that takes messages of a library that joins; see `outlet.Outlet.expect`."""
    at = ground.at

    def expect(library: Library) -> None:
        if at.outlet is not None:
            libraries = [*ground.roster.libraries(), library]
            at.outlet.expect(source_of(LibraryRows(at.database), libraries, sending.depth.count))

    return expect


def jobs_on(ground: Ground, sending: Sending) -> JobClock | None:
    """Whoever closes windows of jobs; None inside another program, where nobody reads jobs."""
    at = ground.at
    if at.outlet is not None:
        return None
    closer = JobCloser(
        JobConfig(at.instance_id, at.settings.rabbitmq.jobs_exchange),
        JobWindows(at.database, ground.leases),
        ground.roster.jobs_of,
        lambda: None if at.owns_all else ground.tenure.held(),
        sending.relay.wake,
        at.metrics,
    )
    return JobClock(closer, at.on_failure)


def serve_for(held: Collection[int], sending: Sending, jobs: JobClock | None) -> None:
    """Publish what waits of the libraries whose leases are held, also of those that are watched no more, and close
    the windows that came due while nobody held them. Never blocks."""
    sending.outbox.own(held)
    sending.relay.reread()
    if jobs is not None:
        jobs.look()
