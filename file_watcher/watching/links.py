"""Symbolic links on the way to a file: which folders below a root are reached through one. Owns no thread."""

from __future__ import annotations

import os
import stat as stat_module
import time
from collections.abc import Iterator
from typing import Final

_REMEMBERED_FOLDERS: Final = 8_192
_ASK_AGAIN_SECONDS: Final = 0.05


def folders_between(root: bytes, path: bytes) -> Iterator[bytes]:
    """The folders strictly below `root` on the way to `path`, from the top."""
    at = path.find(b"/", len(root.rstrip(b"/")) + 1)
    while at != -1:
        yield path[:at]
        at = path.find(b"/", at + 1)


def runs_through_link(root: bytes, path: bytes) -> bool:
    """Whether a component of `path` strictly below `root`, its last one included, is a symbolic link."""
    return any(is_link(part) for part in folders_between(root, path + b"/"))


class Links:
    """Which folders are reached through symbolic links, each asked again after `_ASK_AGAIN_SECONDS`: many files of one
    folder are looked at one after the other. A folder that is replaced by a link is told by the hint at itself."""

    def __init__(self) -> None:
        self._asked_at: dict[bytes, float] = {}
        """When no link was seen on the way to a folder."""

    def lead_to(self, root: bytes, path: bytes) -> bool:
        """Whether a folder below the root on the way to the path is a link, as of now or a moment ago."""
        folder = path[: path.rfind(b"/")]
        now = time.monotonic()
        if now - self._asked_at.get(folder, float("-inf")) < _ASK_AGAIN_SECONDS:
            return False
        if any(map(is_link, folders_between(root, path))):
            self._asked_at.pop(folder, None)
            return True
        if len(self._asked_at) >= _REMEMBERED_FOLDERS:
            self._asked_at.clear()
        self._asked_at[folder] = now
        return False


def is_link(path: bytes) -> bool:
    """Whether the path itself is a symbolic link; never raises OSError."""
    try:
        return stat_module.S_ISLNK(os.lstat(path).st_mode)
    except OSError:  # it vanished after the file was seen; the next hint tells
        return False
