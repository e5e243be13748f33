"""What is told and remembered of one library: in the log, in the catalog and to whoever listens.

No thread. What goes to the catalog is handed to `record`, which carries it out in order, later perhaps.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from file_watcher.model import Library, display
from file_watcher.watching.doubt import Suspension
from file_watcher.watching.memory import Memory
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.scan import ScanReport
from file_watcher.watching.sight import RootIdentity

log = structlog.get_logger(__name__)

_SHOWN: Final = 5
_SHOWN_BYTES: Final = 512
"""So many folders are named in a line of the log, and so much of each."""

Record = Callable[[Callable[[], None]], None]
"""Takes what writes to the catalog; carried out in order, and again after the database was away."""


class LibraryNotices:
    """Tells of one library."""

    def __init__(self, library: Library, memory: Memory, record: Record) -> None:
        self._library = library
        self._memory = memory
        self._record = record
        self._told_unlisted: tuple[int, list[str]] = 0, []
        """How many folders could not be listed, and the first of them, as last told."""

    def begun(self, identity: RootIdentity, was: Suspension | None, *, scanned: bool) -> None:
        """The library is watched from now on; `was` is the suspension that is over, if it was in one."""
        self._remember(identity, None, scanned=scanned)
        if was is not None:
            log.info("library_resumed", library=self._library.name)
            self._announce("library.resumed", reason=was.reason)

    def suspended(self, suspension: Suspension, *, is_news: bool, scanned: bool) -> None:
        """The library is suspended. Only a doubt of another kind than before `is_news` for others."""
        log.warning(
            "library_suspended",
            library=self._library.name,
            root=display(self._library.root),
            reason=suspension.reason,
            effect="nothing of it is told as deleted until it is back",
        )
        if is_news:
            self._remember(None, suspension.reason, scanned=scanned)
            self._announce("library.suspended", reason=suspension.reason)

    def scanned(self, report: ScanReport, *, first: bool, is_news: bool) -> None:
        """A scan was completed."""
        fields = {"files": report.files, "seconds": round(report.seconds, 3), "first": first}
        # A poll that found nothing comes every few seconds, for ever.
        tell = log.info if is_news else log.debug
        tell("library_scanned", library=self._library.name, **fields)
        self._tell_unlisted(report.unlisted)
        if first:
            self._remember(None, None, scanned=True)
        if is_news:
            self._announce("library.scanned", **fields)

    def _tell_unlisted(self, unlisted: Sequence[tuple[bytes, int]]) -> None:
        """Once, and again when there are others: they are polled, and so scanned every few seconds."""
        unlisted_now = len(unlisted), [display(path[:_SHOWN_BYTES]) for path, _ in unlisted[:_SHOWN]]
        before, self._told_unlisted = self._told_unlisted, unlisted_now
        if unlisted_now == before:
            return
        if not unlisted:
            log.info("folders_listed_again", library=self._library.name)
            return
        numbers = sorted({number for _, number in unlisted})
        is_forbidden = bool({errno.EACCES, errno.EPERM} & set(numbers))
        log.warning(
            "folders_not_listed",
            library=self._library.name,
            count=unlisted_now[0],
            folders=unlisted_now[1],
            reason=", ".join(map(os.strerror, numbers)),
            effect="what is in them is not told, nor taken for deleted; they are looked at again with each scan",
            advice="let the user that runs file_watcher read them" if is_forbidden else "look after the disk",
        )

    def goodbye(self) -> None:
        """The library is watched no more."""
        log.info("library_unwatched", library=self._library.name, root=display(self._library.root))
        self._record(lambda: self._memory.say_goodbye(self._library))

    def mounts(self, known: Mapping[bytes, MountIdentity]) -> None:
        """These disks are known below the root from now on."""
        self._record(lambda: self._memory.remember_mounts(self._library, known))

    def _remember(self, identity: RootIdentity | None, suspended: str | None, *, scanned: bool) -> None:
        self._record(
            lambda: self._memory.remember(
                self._library, identity, suspended=suspended, first_scan_done=scanned
            )
        )

    def _announce(self, kind: str, **fields: object) -> None:
        self._record(lambda: self._memory.announce(kind, self._library, fields))
