"""Where a watcher keeps its catalog: in a file that the program names, or in a folder of its own that does not
outlive it. Owns no thread."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from file_watcher.embedding.errors import WatcherError

_PREFIX: Final = "file_watcher-catalog-"
PRIVATE_FOLDERS: Final = f"{_PREFIX}*"
"""The names of such folders, as a pattern."""
_NAME: Final = "catalog.sqlite3"


class CatalogPlace:
    """The catalog's file, between `open` and `close`."""

    def __init__(self, named: Path | None) -> None:
        self._named = named
        self._private: Path | None = None

    @property
    def shown(self) -> Path | None:
        """The file that the program has named."""
        return self._named

    def open(self) -> Path:
        """The file; a private folder for it is made where none was named. Raises WatcherError."""
        if self._named is not None:
            return self._named
        if self._private is None:
            try:
                self._private = Path(tempfile.mkdtemp(prefix=_PREFIX))
            except OSError as exc:
                reason = f"no folder for temporary files can be made ({exc}); name a file with catalog="
                raise WatcherError("open", None, reason) from exc
        return self._private / _NAME

    def check(self, roots: Iterable[Path]) -> None:
        """Raises WatcherError where the named file lies in a watched folder: it would watch itself."""
        for root in roots:
            if self._named is not None and root in self._named.parents:
                reason = f"it lies in the watched folder {str(root)!r}; put the catalog elsewhere"
                raise WatcherError("open", self._named, reason)

    def close(self) -> None:
        """Remove the private folder; may be called twice."""
        private, self._private = self._private, None
        if private is not None:
            # What cannot be removed is left to the system, as everything in that place is.
            shutil.rmtree(private, ignore_errors=True)
