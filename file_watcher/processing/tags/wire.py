"""What parent and child say to each other over two pipes and one small shared page.

Requests: length of the path (u32), the stat that is expected, whether hashes are wanted (u8), the path. Answers
come in the order of the requests: length (u32) and kind (u8), then JSON. The shared page holds what the child is
at now, so that the parent knows the guilty file after a death without a message for each file; and how many
requests the parent has taken back. Kept free of imports that would lengthen the child's start.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterator
from enum import IntEnum
from mmap import mmap
from typing import Any, Final, NamedTuple

from file_watcher.processing.tags.hashes import Hashes
from file_watcher.processing.tags.identity import Identity

_REQUEST: Final = struct.Struct("<IQqqQQ?")
_ANSWER: Final = struct.Struct("<IB")
_PROGRESS: Final = struct.Struct("@dQd")
_WITHDRAWN: Final = struct.Struct("@Q")
_SHA256_SIZE: Final = 32
_XXH128_SIZE: Final = 16
_WITHDRAWN_AT: Final = 64
"""Apart from what the child writes."""
PROGRESS_SIZE: Final = 4096
"""One page, of which 32 bytes are used."""


def page_named(name: str) -> mmap:
    """The page that the parent made, in the child: an inherited descriptor's, on Windows one with a name."""
    if sys.platform == "win32":
        return mmap(-1, PROGRESS_SIZE, tagname=name)
    return mmap(int(name), PROGRESS_SIZE)


class AnswerKind(IntEnum):
    """How a request ended."""

    METADATA = 0
    ANOTHER_FILE = 1
    DISK_FAILED = 2
    OUT_OF_MEMORY = 3
    WITHDRAWN = 4
    """The parent had taken it back before it was begun; another child has it."""
    WHOLE = 5
    """Metadata and hashes: `whole_content` makes its content, `take_answers` takes it apart (`whole_of`)."""


class Request(NamedTuple):
    """One file to be read: for its metadata, and as a `whole` for its hashes, too."""

    path: bytes
    identity: Identity
    whole: bool = False


def encode_request(path: bytes, identity: Identity, *, whole: bool = False) -> bytes:
    """One request as bytes."""
    return _REQUEST.pack(len(path), *identity, whole) + path


def whole_content(metadata: Any, hashes: Hashes) -> list[Any]:
    """The content of an answer of the kind WHOLE."""
    return [metadata, hashes.sha256.hex(), hashes.xxh128.hex(), hashes.read_at_ns, hashes.seconds]


def whole_of(content: list[Any]) -> tuple[Any, Hashes]:
    """The metadata and hashes of such an answer. ValueError for nonsense."""
    try:
        metadata, sha256, xxh128, read_at_ns, seconds = content
        hashes = Hashes(bytes.fromhex(sha256), bytes.fromhex(xxh128), int(read_at_ns), float(seconds))
    except (TypeError, OverflowError) as exc:
        raise ValueError(f"no hashes: {content!r}") from exc
    if (len(hashes.sha256), len(hashes.xxh128)) != (_SHA256_SIZE, _XXH128_SIZE):
        raise ValueError(f"hashes of another size: {content!r}")
    return metadata, hashes


def take_requests(buffer: bytearray) -> Iterator[Request]:
    """The complete requests in the buffer, which is cut behind the last of them at the end."""
    position = 0
    while len(buffer) - position >= _REQUEST.size:
        length, *identity, whole = _REQUEST.unpack_from(buffer, position)
        start = position + _REQUEST.size
        if len(buffer) < start + length:
            break
        yield Request(bytes(buffer[start : start + length]), Identity(*identity), whole)
        position = start + length
    del buffer[:position]


def encode_answer(kind: AnswerKind, content: Any) -> bytes:
    """One answer as bytes; `content` is what JSON can say."""
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    return _ANSWER.pack(len(text), kind) + text


def take_answers(buffer: bytearray) -> list[tuple[AnswerKind, Any]]:
    """The complete answers at the buffer's start, which are removed from it; the content of one of the kind WHOLE
    is its metadata and hashes. ValueError for nonsense."""
    answers = []
    position = 0
    while len(buffer) - position >= _ANSWER.size:
        length, kind = _ANSWER.unpack_from(buffer, position)
        start = position + _ANSWER.size
        if len(buffer) < start + length:
            break
        content = json.loads(buffer[start : start + length])
        answers.append((AnswerKind(kind), whole_of(content) if kind == AnswerKind.WHOLE else content))
        position = start + length
    del buffer[:position]
    return answers


class Progress:
    """The shared page: which request the child is at (counted from 1; 0 for none) and since when; and up to
    which request the parent has taken back what is not begun.

    Both sides use the system's monotonic clock. Aligned stores of eight bytes cannot be seen half done.
    """

    def __init__(self, page: mmap) -> None:
        self._page = page

    def begin(self, number: int) -> None:
        """The child begins with its request of that number."""
        _PROGRESS.pack_into(self._page, 0, time.monotonic(), number, time.process_time())

    def rest(self) -> None:
        """The child is at nothing."""
        _PROGRESS.pack_into(self._page, 0, 0.0, 0, 0.0)

    def now(self) -> tuple[int, float]:
        """Number and start (monotonic seconds) of the request that the child is at."""
        since, number, _ = _PROGRESS.unpack_from(self._page, 0)
        return number, since

    def processor_before(self) -> float:
        """The processor time (s) that the child had had when it began with the request that it is at."""
        before: float = _PROGRESS.unpack_from(self._page, 0)[2]
        return before

    def withdraw(self, number: int) -> None:
        """The parent wants no answer to requests up to that number any more, unless they are begun."""
        _WITHDRAWN.pack_into(self._page, _WITHDRAWN_AT, number)

    def is_withdrawn(self, number: int) -> bool:
        """Whether the request of that number was taken back."""
        return number <= int(_WITHDRAWN.unpack_from(self._page, _WITHDRAWN_AT)[0])
