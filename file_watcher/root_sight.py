"""Which roots of libraries can be seen from this host, asked without ever waiting long for a disk.

A disk that hangs keeps whoever asks it, and the thread that renews leases must not be kept. So a short-lived
thread `fw-roots` asks; there is one at a time, and while a disk keeps it what was known before holds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from typing import Final

from file_watcher.lifecycle import FailureReport, spawn

_PATIENCE: Final = 0.2
"""Seconds; a disk that is well answers within a hundredth of that."""


class RootSight:
    """One thread asks; what was never answered counts as not seen."""

    def __init__(self, on_failure: FailureReport) -> None:
        self._on_failure = on_failure
        self._seen: frozenset[bytes] = frozenset()
        self._asking: threading.Thread | None = None

    def seen(self, roots: Collection[bytes]) -> frozenset[bytes]:
        """Those of the roots that are folders now, as far as that can be told within `_PATIENCE`."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = spawn("fw-roots", lambda: self._ask(roots), self._on_failure)
            self._asking.join(_PATIENCE)
        return self._seen.intersection(roots)

    def _ask(self, roots: Collection[bytes]) -> None:
        self._seen = frozenset(root for root in roots if os.path.isdir(root))
