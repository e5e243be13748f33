"""What the settings mean for each part of the service: one small configuration for each of them.

Pure but for `granularity_ns`, which reads the mount table. `assembly` builds the parts with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from file_watcher.desk import DeskConfig
from file_watcher.model import Hint, HintKind, Library
from file_watcher.processing.deciding import Pauses
from file_watcher.processing.idle import StreamConfig
from file_watcher.processing.pool import PoolConfig
from file_watcher.processing.settle import SettleConfig
from file_watcher.publishing.backlogs import Pacing
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.roster import Roster, Watched
from file_watcher.senses import Looking
from file_watcher.settings import FileWatchSettings, Settings
from file_watcher.system import usable_cores
from file_watcher.watching.comparing import ScanConfig
from file_watcher.watching.dirty import DebounceTiming
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.keeper import KeeperConfig, Kept
from file_watcher.watching.mounts import MountTable, timestamp_granularity_ns
from file_watcher.watching.sight import inode_with_other_names

_MOST_AHEAD: Final = 10_000
"""Messages, and at most a tenth of `outbox_limit`: what is marked as perhaps sent is not merged."""
_SELDOM_SECONDS: Final = 1.0
"""Between two looks for requests where hardly anybody can ask: inside another program."""
_FLUSH_SECONDS: Final = 1.5
"""How long a stop waits for the confirms of what is under way."""

T = TypeVar("T")
RulesOf = Callable[[Library], FileWatchSettings]
"""The settings that hold for a library; the same object until they change."""


def broker_config(settings: Settings) -> BrokerConfig:
    """How to reach the broker. Raises UsageError."""
    rabbitmq = settings.rabbitmq
    return BrokerConfig(
        url=rabbitmq.connection_url().get_secret_value(),
        exchange=rabbitmq.exchange,
        jobs_exchange=rabbitmq.jobs_exchange,
        declare=rabbitmq.declare,
        alternate_exchange=settings.watch.alternate_exchange,
        ca_file=_text(rabbitmq.ca_file),
        cert_file=_text(rabbitmq.cert_file),
        key_file=_text(rabbitmq.key_file),
    )


def told_broker(settings: Settings) -> dict[str, str]:
    """Where events go, for the heartbeat: a command may have been started with other settings."""
    config = broker_config(settings)
    return {"where": str(config.endpoint), "exchange": config.exchange}


def relay_config(watch: FileWatchSettings, buffer: int | None) -> RelayConfig:
    """`buffer` messages may be unconfirmed inside another program; None for a broker."""
    window = RelayConfig().window
    return RelayConfig(
        rate_limit=watch.rate_limit,
        # A program confirms while it takes; nothing is to come when it does not.
        flush_seconds=_FLUSH_SECONDS if buffer is None else 0.0,
        reserve_ahead=min(_MOST_AHEAD, watch.outbox_limit // 10),
        window=window if buffer is None else min(window, buffer),
    )


def pacing(roster: Roster) -> Pacing:
    """The limits of single libraries, as they are at the moment."""

    def rate_of(library_id: int) -> float | None:
        watched = roster.get(library_id)
        return None if watched is None else watched.watch.rate_limit

    def library_of(path: bytes) -> int | None:
        library = roster.of(path)
        return None if library is None else library.id

    return Pacing(rate_of, library_of)


def desk_config(instance_id: str, *, is_embedded: bool) -> DeskConfig:
    """Inside another program hardly anybody can ask."""
    return (
        DeskConfig(instance_id, _SELDOM_SECONDS, _SELDOM_SECONDS) if is_embedded else DeskConfig(instance_id)
    )


def kept_as(watched: Watched) -> Kept:
    """How a library is kept by its rules."""
    return Kept(watched.library, watched.path_filter, keeper_config(watched.watch))


def keeper_config(watch: FileWatchSettings) -> KeeperConfig:
    return KeeperConfig(
        watch.rescan_interval,
        watch.poll_interval,
        watch.observer,
        watch.recursive,
        watch.follow_symlinks,
        watch.loss_guard,
        _more_hints(watch),
        watch.hashing == "full",
    )


def _more_hints(watch: FileWatchSettings) -> frozenset[HintKind]:
    """A stream may be opened once more, and written without being closed for hours."""
    wanted = {HintKind.ATTRIBUTES: watch.emit_chmod, HintKind.WRITTEN: watch.idle_timeout is not None}
    return frozenset(kind for kind, is_wanted in wanted.items() if is_wanted)


def by_library(rules_of: RulesOf, make: Callable[[Library, FileWatchSettings], T]) -> Callable[[Library], T]:
    """What a library's rules mean for one part. Asked for each file and each hint, from any thread: it is made once
    for each set of rules."""
    made: dict[int, tuple[FileWatchSettings, bytes, T]] = {}

    def of(library: Library) -> T:
        rules, known = rules_of(library), made.get(library.id)
        if known is not None and known[0] is rules and known[1] == library.root:
            return known[2]
        new = make(library, rules)
        made[library.id] = rules, library.root, new
        return new

    return of


def read_rate(watch: FileWatchSettings) -> float | None:
    """Bytes per second that may be read; None for as fast as possible."""
    return None if watch.read_rate_limit is None else watch.read_rate_limit * 1e6


def debounce_timing(_: Library, watch: FileWatchSettings) -> DebounceTiming:
    return DebounceTiming(watch.debounce_time, watch.max_wait)


def pool_config(settings: Settings) -> PoolConfig:
    """`scan_workers` threads, but no more than files may be in hand."""
    in_flight = settings.max_concurrent_files
    return PoolConfig(min(settings.watch.scan_workers, in_flight), settings.watch.buffer_size, in_flight)


def tag_processes(watch: FileWatchSettings) -> int:
    """Children that read small media, at most: with more than there are cores they only wait for one another."""
    return min(watch.scan_workers, usable_cores())


def settle_config(_: Library, watch: FileWatchSettings) -> SettleConfig:
    return SettleConfig(watch.debounce_time, watch.max_wait)


def scan_config(_: Library, watch: FileWatchSettings) -> ScanConfig:
    return ScanConfig(watch.recursive, watch.follow_symlinks, hashes(_, watch))


def hashes(_: Library, watch: FileWatchSettings) -> bool:
    return watch.hashing == "full"


def looking(_: Library, watch: FileWatchSettings) -> Looking:
    return Looking(watch.follow_symlinks, watch.emit_chmod)


def pauses(library: Library, watch: FileWatchSettings) -> Pauses:
    return Pauses(watch.poll_interval, granularity_ns(library) / 1e9)


def stream_config(_: Library, watch: FileWatchSettings) -> StreamConfig | None:
    """How streams settle; None where `file.idle` is not wanted."""
    if watch.idle_timeout is None:
        return None
    return StreamConfig(watch.idle_timeout, watch.debounce_time, watch.max_wait)


def goes_first(rules_of: RulesOf) -> Callable[[bytes, Library], bool]:
    """Whether a path's file goes before others to the workers."""
    filter_of = by_library(rules_of, _priority_filter)

    def first(path: bytes, library: Library) -> bool:
        chosen = filter_of(library)
        return chosen is not None and chosen.wants_file(path)

    return first


def _priority_filter(library: Library, watch: FileWatchSettings) -> PathFilter | None:
    return PathFilter(library.root, watch.priority_patterns, ()) if watch.priority_patterns else None


def wants_hint(hint: Hint, path_filter: PathFilter) -> bool:
    """A write under a name that the filters leave out may be one to a file that has a wanted name, too."""
    if hint.is_folder:
        return path_filter.wants_folder(hint.path)
    return path_filter.wants_file(hint.path) or (
        hint.kind is not HintKind.DELETED and inode_with_other_names(hint.path) != 0
    )


def granularity_ns(library: Library) -> int:
    """How coarse the timestamps of the filesystem are that the library lies on. Reads the mount table."""
    return timestamp_granularity_ns(MountTable.read().fs_type_of(library.root))


def longest_wait(roster: Roster) -> float:
    """Seconds after which a file of any library is told although it stays open."""
    return max((each.watch.max_wait for each in roster.all()), default=0.0)


def _text(path: os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
