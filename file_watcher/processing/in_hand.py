"""A file while it is examined: opened once, to ask who writes to it and to read it. Owns no thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from file_watcher.processing.fingerprint import Fingerprinter, Reading, open_for_reading, translated
from file_watcher.processing.lease import WriterProbe, what_refusal_tells


class FileInHand:
    """Opens the file when it is first asked something; a context manager that closes it.

    For one thread. Whether the path still leads to the file is for its user to ask.
    """

    def __init__(
        self,
        path: bytes,
        device: int,
        probe: WriterProbe,
        fingerprinter: Fingerprinter,
        on_read: Callable[[Reading], None],
        *,
        follow_symlinks: bool = False,
    ) -> None:
        """`device`: where a regular file was just seen at the path; `on_read` learns of each reading."""
        self._path = path
        self._device = device
        self._probe = probe
        self._fingerprinter = fingerprinter
        self._on_read = on_read
        self._follow_symlinks = follow_symlinks
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_open_for_writing(self) -> bool | None:
        """See `WriterProbe.is_open_for_writing`."""
        if not self._probe.can_tell(self._device):
            return None
        try:
            self._open()
        except OSError as exc:
            return what_refusal_tells(exc)
        return self._probe.is_lease_refused(self._descriptor)

    def read(self) -> Reading:
        """See `Fingerprinter.read_open`; raises also what opening the file says."""
        try:
            self._open()
        except OSError as exc:
            raise translated(self._path, exc) from exc
        reading = self._fingerprinter.read_open(self._path, self._descriptor)
        self._on_read(reading)
        return reading

    def _open(self) -> None:
        if self._descriptor < 0:
            self._descriptor = open_for_reading(self._path, follow_symlinks=self._follow_symlinks)
