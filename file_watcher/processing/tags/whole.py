"""What a child tells of a file that it read as a whole."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from file_watcher.model import Metadata
from file_watcher.processing.fingerprint import Reading


@dataclass(frozen=True, slots=True)
class WholeFile:
    """Its metadata, None for no medium, and the reading; without one no child can read it: read it yourself."""

    metadata: Metadata | None
    reading: Reading | None


WholeFuture = Future[WholeFile]
