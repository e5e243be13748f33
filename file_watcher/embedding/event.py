"""What a program is told of one change. Owns no thread.

It is made of the recorded message, the same one that would have gone to the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from file_watcher.model import Metadata, OutboxMessage, display
from file_watcher.paths import inner, native

Kind = Literal["created", "modified", "deleted", "moved", "renamed", "idle"]
Operation = Literal["put", "delete"]

MetadataSource = Callable[["FileEvent"], Metadata | None]
"""Reads the metadata of an event's file; blocks while it does."""

_SOURCE: Final = "_metadata_source"


class Hashes(NamedTuple):
    """Both hashes of a file's content, in lower-case hexadecimal: 64 and 32 characters."""

    sha256: str
    xxh128: str


@dataclass(frozen=True)
class FileEvent:
    """One change of one file.

    A program that keeps a copy needs only two rules, in this order: where `old_path` is given, remove it there;
    then for `operation` "put" bring `path` over, for "delete" remove it.

    Events of one file come in order. After a crash the last ones may come again, with the same `event_id`.
    """

    kind: Kind
    """`created`, `modified` (its content), `deleted`, `renamed` (in its folder), `moved` (to another folder), or
    `idle` (nobody has written for `idle_timeout`)."""
    path: Path
    """Absolute, without links in the folders above `root`. Bytes that are no UTF-8 are kept, as everywhere in
    Python, as surrogates: open() finds the file."""
    old_path: Path | None
    """Where it was before; only for moved and renamed."""
    operation: Operation
    """What a copy has to do with `path`: "delete" for deleted, "put" for all else."""
    size: int | None
    """Bytes; for deleted, what it was. None where that is not known."""
    hashes: Hashes | None
    """Of the whole content; for deleted, the last ones. None while it still grows, or where it cannot be read.
    They cost nothing more: the watcher reads each changed file once, to know whether its content changed."""
    time: datetime
    """When the change was found out; aware, UTC."""
    modified_at: datetime | None
    """When the file was last written, as it says itself; aware, UTC."""
    growing: bool
    """Whether somebody still writes to it: another event with its hashes follows."""
    root: Path
    """The watched folder that `path` is in, without links: `event.path.relative_to(event.root)` always works."""
    event_id: str
    """A UUID; the same if the event comes again."""
    file_id: str
    """A UUID that stays with the file through moves, until it is deleted."""
    version: int
    """Counts the events of the file, from 1."""
    _metadata_source: MetadataSource | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """`renamed /data/a.json → /data/b.json`, for people."""
        path = _shown(self.path)
        return f"{self.kind} {path if self.old_path is None else f'{_shown(self.old_path)} → {path}'}"

    @cached_property
    def metadata(self) -> Metadata | None:
        """What is known of a medium; None for what is none, was deleted, or has changed again since.

        Read when it is first asked for, in a child process, since a crafted file can cost much: this blocks for
        milliseconds, at worst for seconds (`tag_timeout`). A mapping with `duration` (s), `bitrate` (bit/s),
        `sample_rate` (Hz), `channels`, `format` and `tags`, each None where unknown; for unreadable media
        also `error`. Raises WatcherStopped once the watcher is stopped. A pickled event does not take it along
        unless it was asked for before.
        """
        return None if self._metadata_source is None else self._metadata_source(self)

    def __getstate__(self) -> dict[str, Any]:
        """Events go to other processes, the reader of metadata does not."""
        return {**self.__dict__, _SOURCE: None}


def event_of(
    message: OutboxMessage,
    body: Mapping[str, Any],
    root: bytes,
    metadata_source: MetadataSource | None = None,
) -> FileEvent:
    """The event that the recorded message of a file, with this decoded body, tells."""
    sha256, xxh128 = body["sha256_hash"], body["xxh128_hash"]
    found_at = _time(body["timestamp"])
    assert found_at is not None  # our own clock is within the years that have a text
    return FileEvent(
        kind=body["event_type"],
        path=_path(message.path),
        old_path=None if message.old_path is None else _path(message.old_path),
        operation=body["operation"],
        size=body["size"],
        hashes=None if sha256 is None or xxh128 is None else Hashes(sha256, xxh128),
        time=found_at,
        modified_at=_time(body["modified_at"]),
        growing=body["growing"],
        root=_path(root),
        event_id=message.event_id,
        file_id=body["file_id"],
        version=body["version"],
        _metadata_source=metadata_source,
    )


def _shown(path: Path) -> str:
    """A surrogate cannot be printed."""
    return display(inner(path))


def _path(path: bytes) -> Path:
    return Path(native(path))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
