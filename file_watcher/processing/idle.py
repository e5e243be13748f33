"""Streams: when a file that is written for minutes is read, told as growing, or left alone. Pure.

Where `idle_timeout` is set, content that still grows is never hashed: its growth is told without hashes, and it
is read once when nothing was written to it for so long (`file.idle`). What grows is seen by what was told of it:
a file that somebody has open for writing, that is longer than its row says, or whose growth was told last.
Everything else settles as files do in other libraries (`processing.settle`), and is idle later without being
read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from file_watcher.model import FileRecord, FileStat, Ticket
from file_watcher.processing.settle import still_for

_LOOKS_A_TIMEOUT: Final = 4
"""Looks in the time of `idle_timeout` at a file that grows: where only looks can tell when it was written last,
it is told as idle at most a quarter of the timeout late."""


class Turn(Enum):
    """What to do with a file of a stream library now."""

    READ = "read"
    """It does not grow, or not any more: hash it."""
    TELL_GROWTH = "tell growth"
    REST = "rest"
    """It grows, which was told lately; nothing is owed to it but another look."""
    WAIT = "wait"
    """Whether it grows cannot be told before another look."""


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """All in seconds. `idle`: how long nothing must have been written. `quiet` and `max_wait` as in
    `settle.SettleConfig`; growth is told at most every `max_wait`."""

    idle: float
    quiet: float = 1.0
    max_wait: float = 30.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a file: what is known of it before it is decided whether to read it.

    `known` is the row at its path, or that of the file before it was moved here; `is_open` None where it cannot
    be known whether somebody has it open for writing. `now` is monotonic, `now_ns` the wall clock.
    """

    ticket: Ticket
    stat: FileStat
    known: FileRecord | None
    is_open: bool | None
    now: float
    now_ns: int


def idle_for(look: Look) -> float:
    """Seconds since when nothing was written, as far as that is known; may say too little, never too much.

    The ctime tells it at once and after a restart, and nobody can set it back. It is only believed where the
    filesystem is one of this machine's, whose clock is ours: those are the ones where openness can be known.
    """
    watched = still_for(look.ticket, look.stat, look.now)
    if look.is_open is None:
        return watched
    return max(watched, (look.now_ns - look.stat.ctime_ns) / 1e9)


def turn(config: StreamConfig, look: Look) -> Turn:
    """Judge one look."""
    known = look.known
    if idle_for(look) >= config.idle or _is_what_was_told(look):
        return Turn.READ
    if known is None or not _grows(look, known):
        return _settled(config, look)
    if look.ticket.moved_from:
        return Turn.TELL_GROWTH  # the move is to be told; growth that was told already is not told again
    has_news = not (known.growing and known.stat.same_file(look.stat))
    has_news = has_news or not known.stat.same_bytes_likely(look.stat)
    return Turn.TELL_GROWTH if has_news and until_told(config, look) <= 0 else Turn.REST


def until_told(config: StreamConfig, look: Look) -> float:
    """Seconds until growth may be told again.

    After a restart the row says when that was: its mtime is that of the last write before it was told.
    """
    if look.ticket.told_growing is not None:
        return config.max_wait - (look.now - look.ticket.told_growing)
    if look.known is None or not look.known.growing:
        return 0.0
    since = (look.now_ns - look.known.stat.mtime_ns) / 1e9
    return config.max_wait - since if since >= 0 else 0.0


def next_look(config: StreamConfig, look: Look) -> float:
    """Seconds until a file that grows is worth another look: when it may be idle, or its growth be told."""
    due = [config.idle - idle_for(look), config.idle / _LOOKS_A_TIMEOUT]
    if (told := until_told(config, look)) > 0:
        due.append(told)
    return max(config.quiet, min(due))


def _is_what_was_told(look: Look) -> bool:
    """Whether only a reading can tell more: it was hashed, and its stat is the same."""
    known = look.known
    return known is not None and known.fingerprint is not None and known.stat == look.stat


def _grows(look: Look, known: FileRecord) -> bool:
    return bool(look.is_open) or known.growing or look.stat.size > known.stat.size


def _settled(config: StreamConfig, look: Look) -> Turn:
    """Of what is not known to grow: read it where nobody writes, or nobody seems to."""
    if look.is_open is not None:
        return Turn.TELL_GROWTH if look.is_open else Turn.READ
    if look.ticket.closed or still_for(look.ticket, look.stat, look.now) >= config.quiet:
        return Turn.READ
    before = look.ticket.last_stat
    if before is None or (before.inode == look.stat.inode and before.same_bytes_likely(look.stat)):
        return Turn.WAIT
    return Turn.TELL_GROWTH
