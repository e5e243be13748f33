"""What the settings mean for each part of the service: one small configuration for each of them.

Pure but for `granularity_ns`, which reads the mount table. `assembly` builds the parts with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from file_watcher.desk import DeskConfig
from file_watcher.model import Hint, HintKind, Library
from file_watcher.processing.idle import StreamConfig
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.settings import FileWatchSettings, Settings
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.keeper import KeeperConfig
from file_watcher.watching.mounts import MountTable, timestamp_granularity_ns
from file_watcher.watching.sight import inode_with_other_names

_MOST_AHEAD: Final = 10_000
"""Messages, and at most a tenth of `outbox_limit`: what is marked as perhaps sent is not merged."""
_SELDOM_SECONDS: Final = 1.0
"""Between two looks for requests where hardly anybody can ask: inside another program."""
_FLUSH_SECONDS: Final = 1.5
"""How long a stop waits for the confirms of what is under way."""


def broker_config(settings: Settings) -> BrokerConfig:
    """How to reach the broker. Raises UsageError."""
    rabbitmq = settings.rabbitmq
    return BrokerConfig(
        url=rabbitmq.connection_url().get_secret_value(),
        exchange=rabbitmq.exchange,
        declare=rabbitmq.declare,
        alternate_exchange=settings.watch.alternate_exchange,
        ca_file=_text(rabbitmq.ca_file),
        cert_file=_text(rabbitmq.cert_file),
        key_file=_text(rabbitmq.key_file),
    )


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


def desk_config(instance_id: str, *, is_embedded: bool) -> DeskConfig:
    """Inside another program hardly anybody can ask."""
    return (
        DeskConfig(instance_id, _SELDOM_SECONDS, _SELDOM_SECONDS) if is_embedded else DeskConfig(instance_id)
    )


def keeper_config(settings: Settings) -> KeeperConfig:
    watch = settings.watch
    return KeeperConfig(
        watch.rescan_interval,
        watch.poll_interval,
        watch.observer,
        watch.recursive,
        watch.follow_symlinks,
        watch.loss_guard,
        watch.max_watches,
        _more_hints(watch),
    )


def _more_hints(watch: FileWatchSettings) -> frozenset[HintKind]:
    """A stream may be opened once more, and written without being closed for hours."""
    wanted = {HintKind.ATTRIBUTES: watch.emit_chmod, HintKind.WRITTEN: watch.idle_timeout is not None}
    return frozenset(kind for kind, is_wanted in wanted.items() if is_wanted)


def stream_config(watch: FileWatchSettings) -> StreamConfig | None:
    """How streams settle; None where `file.idle` is not wanted."""
    if watch.idle_timeout is None:
        return None
    return StreamConfig(watch.idle_timeout, watch.debounce_time, watch.max_wait)


def goes_first(
    watch: FileWatchSettings, watched: Sequence[tuple[Library, PathFilter]]
) -> Callable[[bytes, Library], bool] | None:
    """Whether a path's file goes before others to the workers; None where no pattern says so of any."""
    if not watch.priority_patterns:
        return None
    filters = {library.id: PathFilter(library.root, watch.priority_patterns, ()) for library, _ in watched}
    return lambda path, library: filters[library.id].wants_file(path)


def wants_hint(hint: Hint, path_filter: PathFilter) -> bool:
    """A write under a name that the filters leave out may be one to a file that has a wanted name, too."""
    if hint.is_folder:
        return path_filter.wants_folder(hint.path)
    return path_filter.wants_file(hint.path) or (
        hint.kind is not HintKind.DELETED and inode_with_other_names(hint.path) != 0
    )


def granularity_ns(watched: Sequence[tuple[Library, PathFilter]]) -> int:
    """The coarsest timestamps of the filesystems that the libraries lie on."""
    table = MountTable.read()
    return max(
        (timestamp_granularity_ns(table.fs_type_of(library.root)) for library, _ in watched), default=0
    )


def _text(path: os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
