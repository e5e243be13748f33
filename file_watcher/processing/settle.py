"""Has a file settled? Pure: the verdict follows from what is known of writers, hints and earlier looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from file_watcher.model import FileStat, Ticket


class Verdict(Enum):
    """What to do with a file now."""

    READY = "ready"
    """Nobody writes: hash it."""
    READY_BUT_OPEN = "ready but open"
    """Somebody could still write, but nothing has moved for so long that it is told all the same."""
    GROWING = "growing"
    """It has kept changing for so long that its growth is told, without hashes."""
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class SettleConfig:
    """All in seconds. `quiet`: how long size, mtime and inode must hold still where nothing else can tell
    that nobody writes. `max_wait`: how long an open file may keep us waiting."""

    quiet: float = 1.0
    max_wait: float = 30.0


def still_for(ticket: Ticket, stat: FileStat, now: float) -> float:
    """Seconds since when every look saw this size, mtime and inode; 0 at the first one."""
    if ticket.last_stat is None or _has_moved(ticket.last_stat, stat):
        return 0.0
    return now - ticket.still_since


def told_at(ticket: Ticket) -> float:
    """When its growth was told last, or the waiting began."""
    return (
        ticket.waited_since if ticket.told_growing is None else max(ticket.waited_since, ticket.told_growing)
    )


def verdict(
    config: SettleConfig, ticket: Ticket, stat: FileStat, is_open: bool | None, now: float
) -> Verdict:
    """Judge one look. `is_open` is None where it cannot be known whether somebody has it open for writing."""
    if is_open is False:
        return Verdict.READY
    still = still_for(ticket, stat, now)
    if is_open is None and (ticket.closed or still >= config.quiet):
        return Verdict.READY
    if still >= config.max_wait:
        return Verdict.READY_BUT_OPEN
    if ticket.last_stat is None or not _has_moved(ticket.last_stat, stat):
        return Verdict.WAIT  # only a look that sees it move calls it growing
    return Verdict.GROWING if now - told_at(ticket) >= config.max_wait else Verdict.WAIT


def _has_moved(before: FileStat, now: FileStat) -> bool:
    return before.inode != now.inode or not before.same_bytes_likely(now)
