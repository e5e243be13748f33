"""The small interface between the core and the readers of the kinds of content.

A reader is one file in `readers/` and one line in `formats.REGISTRY`: it says by a file's first bytes whether
the file is its own, and fills a `Medium` from it. It runs in the child processes only, so it may use any time
and memory, and raise whatever damage makes it raise. Free of libraries: this process imports it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable


class Claim(NamedTuple):
    """What a reader says that a file is."""

    media_type: str
    """As published in `format`, such as `audio/flac`."""
    file_type: str
    """One word for people and filters, where the media type does not tell all: `oggflac`, `m4a`."""


class Beginning(NamedTuple):
    """What a reader is told of a file."""

    header: bytes
    """Up to 4,096 bytes, after the ID3 tags that may stand before any stream."""
    suffix: bytes
    """The name's extension in lower case, with its dot. What the content says counts before it."""
    has_id3: bool


@dataclass(slots=True)
class Medium:
    """What was found, unchecked: numbers may be 0 or nonsense, `tags` may hold a name several times."""

    media_type: str | None = None
    file_type: str | None = None
    duration: object = None
    """Seconds."""
    bitrate: object = None
    """Bits a second."""
    sample_rate: object = None
    """Hz."""
    channels: object = None
    tags: list[tuple[str, str]] = field(default_factory=list)
    """Published names (see `names`) and their values; the first usable one of each name counts."""
    picture_sizes: list[int] = field(default_factory=list)
    """Bytes of each embedded picture. The pictures themselves never travel."""

    def take(self, info: Any) -> None:
        """Take the stream's parameters from one of mutagen's info objects; they lack what they do not know."""
        self.duration = getattr(info, "length", None)
        self.bitrate = getattr(info, "bitrate", None)
        self.sample_rate = getattr(info, "sample_rate", None)
        self.channels = getattr(info, "channels", None)

    def claim(self, claim: Claim | None) -> None:
        """Say what the file is; None where it turned out to be nothing that is known."""
        self.media_type, self.file_type = claim or (None, None)


@runtime_checkable
class MetadataReader(Protocol):
    """Reads one kind of content. Has no state."""

    def recognise(self, beginning: Beginning) -> Claim | None:
        """What the file is by its first bytes; None where it is not this reader's. Never raises."""

    def guess(self, beginning: Beginning) -> Claim | None:  # noqa: ARG002 - most guess nothing
        """What it might be where no reader recognised it: for streams that may begin with junk."""
        return None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        """Fill `medium`, which holds the claim already and may refine it, bit by bit: what was found before
        an exception is kept. Any exception but MemoryError and a disk's failure is told as damage."""


def try_all(file: BinaryIO, medium: Medium, *steps: Callable[[BinaryIO, Medium], None]) -> None:
    """Take every step from the file's start, though one before it failed: a broken tag hides no stream.

    Raises the first exception at the end, a MemoryError at once.
    """
    failure: Exception | None = None
    for step in steps:
        file.seek(0)
        try:
            step(file, medium)
        except MemoryError:
            raise
        except Exception as exc:
            failure = failure or exc
    if failure is not None:
        raise failure
