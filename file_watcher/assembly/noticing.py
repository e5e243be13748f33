"""Builds what notices changes: scheduler, keeper and scans, and what the keeper remembers. Owns no thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from file_watcher.assembly.examining import Sight
from file_watcher.assembly.sending import Sending
from file_watcher.assembly.surroundings import Ground
from file_watcher.barrier import Barrier
from file_watcher.catalog.libraries import Libraries as LibraryRows
from file_watcher.ledger import LibraryMemory
from file_watcher.model import Ticket
from file_watcher.part_configs import (
    by_library,
    debounce_timing,
    goes_first,
    kept_as,
    scan_config,
    wants_hint,
)
from file_watcher.processing.deciding import DecidingStage
from file_watcher.roster import Watched
from file_watcher.watching.comparing import room_beside
from file_watcher.watching.dirty import DebounceBounds
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.scanning import ScanStage
from file_watcher.watching.schedule import Scheduler


def scheduler_on(
    ground: Ground, deliver: Callable[[Ticket, float], bool], deliver_folder: Callable[[Ticket], None]
) -> Scheduler:
    """Whoever debounces hints; see Scheduler for `deliver` and `deliver_folder`."""
    at, roster = ground.at, ground.roster
    return Scheduler(
        by_library(roster.rules_of, debounce_timing),
        lambda hint, library: wants_hint(hint, roster.filter_of(library)),
        deliver,
        deliver_folder,
        at.metrics,
        at.on_failure,
        DebounceBounds.beside(at.settings.watch.buffer_size),
        goes_first(roster.rules_of),
    )


def memory_on(ground: Ground, sight: Sight, sending: Sending, deciding: DecidingStage) -> LibraryMemory:
    """What is remembered of libraries and told of them."""
    at = ground.at
    return LibraryMemory(
        LibraryRows(at.database, ground.leases),
        ground.store,
        sending.outbox,
        at.instance_id,
        sight.trust.learn,
        sending.relay.wake,
        at.metrics,
        deciding.finish_round,
    )


def keeper_on(
    ground: Ground, watched: Sequence[Watched], sight: Sight, scheduler: Scheduler, memory: LibraryMemory
) -> LibraryKeeper:
    """Whoever keeps the libraries; what it notices goes to the scheduler."""
    return LibraryKeeper(
        [kept_as(each) for each in watched],
        sight.eyes,
        scheduler.observe,
        memory,
        ground.at.on_failure,
        ground.at.settings.watch.max_watches,
    )


def scans_on(
    ground: Ground, sight: Sight, scheduler: Scheduler, barrier: Barrier, keeper: LibraryKeeper
) -> ScanStage:
    """Whoever compares folders with the catalog; what differs goes to the scheduler."""
    at, roster = ground.at, ground.roster
    return ScanStage(
        by_library(roster.rules_of, scan_config),
        room_beside(at.settings.watch.buffer_size),
        ground.store,
        sight.eyes,
        roster.filter_of,
        scheduler,
        barrier.is_decided,
        keeper.may_delete,
        keeper.note_scanned,
        at.metrics,
        at.on_failure,
    )
