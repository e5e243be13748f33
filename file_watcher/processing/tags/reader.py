"""Reads the metadata of one file, and hashes it where that is wanted. Runs in the child processes only: a crafted
file may take any time or memory.

Every exception that a file's content causes ends here, as an `error` in the answer.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from typing import Any, BinaryIO, Final

from file_watcher.processing.tags import clean
from file_watcher.processing.tags.formats import beginning_of, load_readers, wants_tags
from file_watcher.processing.tags.hashes import Hashes, hashes_of
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.system import NO_ATIME, NO_FOLLOW, READING

_READERS: Final = load_readers()
_BUFFER_SIZE: Final = 1 << 16
"""The parsers read many small pieces close to one another, at both ends of the file."""
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_DISK_FAILURES: Final = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN}
)
"""Not the file's fault, unlike EINVAL for a seek to where a crafted offset points."""


class AnotherFile(Exception):
    """The path does not lead to the file that was asked for any more, or the file changed."""


class DiskFailed(Exception):
    """The system could not read the file now."""


def read_metadata(
    path: bytes, expected: Identity | None = None, *, follow_symlinks: bool = False
) -> dict[str, Any] | None:
    """What is known of the medium at `path`, ready for JSON; None where it is none.

    Keys are always there, null where unknown: duration (s), bitrate (bit/s), sample_rate (Hz), channels,
    format (media type), file_type, tags. `pictures` (how many are embedded, and their bytes), `truncated` and
    `error` (one sentence) only where they apply. Raises `AnotherFile` where the file is not, before or after,
    the one that is `expected`; `DiskFailed`; and MemoryError, after which the process should not be used
    again.
    """
    with _open(path, follow_symlinks=follow_symlinks) as file:
        _check(file, expected)
        metadata = _read_open(path, file)
        _check(file, expected)
    return metadata


def read_whole(
    path: bytes, expected: Identity, *, follow_symlinks: bool = False
) -> tuple[dict[str, Any] | None, Hashes]:
    """The same with both hashes of the file, which is read to its end."""
    with _open(path, follow_symlinks=follow_symlinks) as file:
        _check(file, expected)
        hashes = _hash(file, expected.size)
        metadata = _read_open(path, file)
        _check(file, expected)
    return metadata, hashes


def _hash(file: BinaryIO, size: int) -> Hashes:
    """Nothing was read of the file yet, and it stands at its beginning again afterwards."""
    try:
        hashes = hashes_of(file.fileno(), size)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
    except OSError as exc:
        raise DiskFailed(os.strerror(exc.errno or errno.EIO)) from exc
    if hashes is None:
        raise AnotherFile
    return hashes


def _open(path: bytes, *, follow_symlinks: bool) -> BinaryIO:
    try:
        return _open_regular(path, follow_symlinks=follow_symlinks)
    except OSError as exc:
        if exc.errno in _NOT_THERE:
            raise AnotherFile from exc
        raise DiskFailed(os.strerror(exc.errno or errno.EIO)) from exc


def _open_regular(path: bytes, *, follow_symlinks: bool) -> BinaryIO:
    flags = READING if follow_symlinks else READING | NO_FOLLOW
    try:
        descriptor = os.open(path, flags | NO_ATIME)
    except PermissionError:
        # Only the owner may leave the atime alone.
        descriptor = os.open(path, flags)
    try:
        if not stat_module.S_ISREG(os.fstat(descriptor).st_mode):
            raise AnotherFile
        return os.fdopen(descriptor, "rb", buffering=_BUFFER_SIZE)
    except BaseException:
        os.close(descriptor)
        raise


def _check(file: BinaryIO, expected: Identity | None) -> None:
    if expected is not None and Identity.of(os.fstat(file.fileno())) != expected:
        raise AnotherFile


def _read_open(path: bytes, file: BinaryIO) -> dict[str, Any] | None:
    medium = Medium()
    error = _fill(medium, path, file)
    if medium.media_type is None and error is None:
        if not wants_tags(path):
            return None
        error = "The content is no kind of media that is known here."
    return _publishable(medium, "The file is empty." if _is_empty(file) else error)


def _fill(medium: Medium, path: bytes, file: BinaryIO) -> str | None:
    """Let a reader fill the medium; what was wrong with the file, as a sentence."""
    certain = False
    try:
        reader, claim, certain = _choose(beginning_of(file, path))
        if reader is not None:
            medium.claim(claim)
            file.seek(0)
            reader.read(file, medium)
    except MemoryError:
        raise
    except Exception as exc:
        _raise_disk_failure(exc)
        if medium.sample_rate:
            return f"Part of the content is damaged ({_class_name(exc)})."
        if not certain:
            # Nothing confirmed the guess.
            medium.claim(None)
        return f"The content is damaged or no media at all ({_class_name(exc)})."
    return None


def _choose(beginning: Beginning) -> tuple[MetadataReader | None, Claim | None, bool]:
    """Whose file it is, as what, and whether its content says so: what it says counts before any guess."""
    for reader in _READERS:
        if claim := reader.recognise(beginning):
            return reader, claim, True
    for reader in _READERS:
        if claim := reader.guess(beginning):
            return reader, claim, False
    return None, None, False


def _class_name(exc: Exception) -> str:
    """With its module, since many of mutagen's errors are called `error`."""
    kind = type(exc)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _raise_disk_failure(exc: BaseException) -> None:
    """mutagen wraps what the system says into its own errors; look behind them."""
    cause: BaseException | None = exc
    for _ in range(8):
        if cause is None:
            return
        for said in (cause, *cause.args):
            if isinstance(said, OSError) and said.errno in _DISK_FAILURES:
                raise DiskFailed(os.strerror(said.errno)) from exc
        cause = cause.__cause__ or cause.__context__


def _is_empty(file: BinaryIO) -> bool:
    return os.fstat(file.fileno()).st_size == 0


def _publishable(medium: Medium, error: str | None) -> dict[str, Any]:
    tags, truncated = clean.tags(medium.tags)
    metadata: dict[str, Any] = {
        "duration": clean.seconds(medium.duration),
        "bitrate": clean.whole(medium.bitrate),
        "sample_rate": clean.whole(medium.sample_rate),
        "channels": clean.whole(medium.channels),
        "format": medium.media_type,
        "file_type": medium.file_type,
        "tags": tags,
    }
    if medium.picture_sizes:
        metadata["pictures"] = {"count": len(medium.picture_sizes), "bytes": sum(medium.picture_sizes)}
    if truncated:
        metadata["truncated"] = True
    if error is not None:
        metadata["error"] = error
    return metadata
