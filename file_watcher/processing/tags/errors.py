"""Why a file's metadata could not be read although the file itself is not to blame."""

from __future__ import annotations

from file_watcher.errors import RetryableError
from file_watcher.model import display


class TagReaderClosed(RetryableError):
    """The service stops; the file's metadata were not read."""

    def __init__(self) -> None:
        super().__init__("The tag reader is closed.")


class TagsUnavailable(RetryableError):
    """The children do not start, or the disk failed under them; try again later."""


class FileChanged(RetryableError):
    """The path did not lead to the file that was asked for when its metadata were read."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{display(path)} changed before its tags were read.")
