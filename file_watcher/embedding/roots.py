"""The folders that a program wants to be watched. Owns no thread; looks at the disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from file_watcher.embedding.errors import WatcherError

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def root_of(path: AnyPath, others: Sequence[Path]) -> Path:
    """The folder's real path, if it may be watched beside the others; blocks as long as the disk does.

    Raises WatcherError, with the system's error as its cause where there is one.
    """
    given = Path(os.fsdecode(path))
    root = Path(os.path.realpath(given))
    try:
        _check_folder(root)
    except OSError as exc:
        raise WatcherError("watch", given, _advice(exc)) from exc
    for other in others:
        if root == other:
            raise WatcherError("watch", given, "this folder is watched already")
        if root in other.parents:
            raise WatcherError("watch", given, f"{str(other)!r}, which is in it, is watched already")
        if other in root.parents:
            raise WatcherError("watch", given, f"it is watched already, as a part of {str(other)!r}")
    return root


def _check_folder(root: Path) -> None:
    if not stat.S_ISDIR(root.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
    # By the effective ids, which are the ones that count when the folder is opened.
    if not os.access(root, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such folder; make it first"
    if isinstance(error, NotADirectoryError):
        return "this is not a folder; name the folder that the file is in, and its name as a pattern"
    if isinstance(error, PermissionError):
        return "this user may not list it; it takes the rights to read and to enter it (r and x)"
    return f"it cannot be looked at ({error.strerror or error})"
