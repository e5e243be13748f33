"""One asked-for scan of a whole library, shared by who asks and who scans."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from file_watcher.model import Library, Source
from file_watcher.watching.scan import ScanReport


@dataclass(slots=True, eq=False)
class ScanJob:
    """`report` stands once `finished` is set; None where the scan could not be completed.

    A trial only counts: it hints at nothing. One that `looks_outside` also finds the rows of files that the
    catalog has elsewhere than below the root, where that was another folder before: they are missing.
    """

    library: Library
    source: Source
    is_trial: bool = False
    looks_outside: bool = False
    is_hinted_ahead: bool = False
    """What appeared was hinted at before its turn, since it may be what another library misses."""
    finished: threading.Event = field(default_factory=threading.Event)
    report: ScanReport | None = None
    _abandoned: threading.Event = field(default_factory=threading.Event)

    def abandon(self) -> None:
        """Nobody believes what it finds any more: it is given up, and finished without a report."""
        self._abandoned.set()

    def is_abandoned(self) -> bool:
        """Whether it was given up."""
        return self._abandoned.is_set()

    def serves(self, wanted: ScanJob) -> bool:
        """Whether this one, if it has not begun, does all that the other would."""
        same = self.library == wanted.library and self.is_trial == wanted.is_trial
        return same and self.looks_outside >= wanted.looks_outside and not self.is_abandoned()
