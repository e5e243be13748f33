"""Scans of folders that the kernel hinted at, or that stand for too many dirty paths.

Owns the thread `fw-folders`: apart from whole libraries, so that a long scan does not hold them up.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import CatalogEntry, FileStat, Library, Source, Ticket, display
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry
from file_watcher.watching.comparing import Comparison
from file_watcher.watching.merge import ALL_KINDS, Finding, FindingKind
from file_watcher.watching.schedule import Scheduler
from file_watcher.watching.sight import inode_with_other_names

log = structlog.get_logger(__name__)

CATALOG_PAUSE: Final = 1.0
"""Seconds until a scan that lost the database begins anew."""


class FolderScans:
    """Compares folders, one after the other."""

    def __init__(
        self,
        comparison: Comparison,
        scheduler: Scheduler,
        scan_library: Callable[[Library], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        """`scan_library` asks for a scan of all of it, which believes in no loss that the guard refuses."""
        self._scan_library = scan_library
        self._comparison = comparison
        self._scheduler = scheduler
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("fw-folders")

    def start(self) -> None:
        """Start the thread."""
        self._thread = spawn("fw-folders", self._run, self._on_failure)

    def close(self) -> None:
        """Give up what is under way; it is found again by the next start's scan."""
        self._stop.set()
        self._tickets.put(None)

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread."""
        return join_all([self._thread] if self._thread else [], deadline)

    def request(self, ticket: Ticket) -> None:
        """Have the folder compared with the rows below it; the ticket is done then. Never blocks."""
        self._tickets.put(ticket)

    def depth(self) -> int:
        """How many folders wait."""
        return self._tickets.qsize()

    def progress(self) -> Progress:
        """How far the thread is. A scan gets on also while it waits for room."""
        return self._pulse.look()

    def _run(self) -> None:
        pulse = self._pulse
        interrupted = False
        while not self._stop.is_set():
            pulse.rest()
            ticket = self._tickets.get()
            if ticket is None:
                return
            pulse.at("compares", ticket.path)
            try:
                self._scan(ticket)
            except CatalogUnavailable as exc:
                if not interrupted:  # a line for each folder and each attempt would be a flood
                    log.warning("folder_scan_interrupted", folder=display(ticket.path), reason=str(exc))
                interrupted = True
                self._telemetry.error("db")
                self._scheduler.again(ticket, None, CATALOG_PAUSE)
            else:
                interrupted = False

    def _scan(self, ticket: Ticket) -> None:
        """Hint at all that differs below the folder, and at a file that took its name.

        Where the folder was moved, each file's hint names the path that it had before. Where it stands for
        paths that the kernel hinted at, what is found counts as the kernel's word: only that is passed on to
        other names of the same file. What is missing there without a hint is left to a scan of the library.
        """
        is_unexplained = False
        is_folded = self._scheduler.is_folded(ticket.path)
        source = Source.KERNEL if is_folded else Source.SCAN
        is_same = self._comparison.sameness(ticket.library)

        def owes_reading(path: bytes) -> bool:
            return is_folded and self._scheduler.may_owe_reading(path)

        def unchanged(row: CatalogEntry, stat: FileStat) -> bool:
            return is_same(row, stat) and not owes_reading(row.path)

        def hint(path: bytes, *, must_hash: bool) -> None:
            # More room than whole scans have, so that an import does not hold up fresh changes.
            self._comparison.wait_for_room(2, self._is_closing)
            moved_from = frozenset(origin + path[len(ticket.path) :] for origin in ticket.moved_from)
            self._scheduler.look_at(
                path,
                ticket.library,
                source,
                must_hash=must_hash,
                noticed=ticket.noticed,
                moved_from=moved_from,
            )

        def found(finding: Finding) -> None:
            nonlocal is_unexplained
            must_hash = owes_reading(finding.path)
            if is_folded and self._is_silent_loss(finding, ticket.library):
                is_unexplained = True
            elif finding.only_ctime and not must_hash:
                self._scheduler.look_at(finding.path, ticket.library, source, background=True)
            else:
                hint(finding.path, must_hash=must_hash)

        report = self._comparison.compare(
            ticket.path,
            ticket.library,
            found,
            ALL_KINDS,
            self._is_closing,
            unchanged,
            partial(self._look_behind, ticket),
        )
        if report.unlisted:
            self._tell_unlisted(ticket.library, report.unlisted)
        if self._comparison.filter_of(ticket.library).wants_file(ticket.path):
            hint(ticket.path, must_hash=ticket.must_hash or ticket.closed)
        self._scheduler.done(ticket)
        if is_unexplained:
            self._scan_library(ticket.library)

    def _tell_unlisted(self, library: Library, unlisted: Sequence[tuple[bytes, int]]) -> None:
        folder, number = unlisted[0]
        log.warning(
            "folder_not_listed",
            library=library.name,
            folder=display(folder[:512]),
            others=len(unlisted) - 1,
            reason=os.strerror(number),
        )

    def _look_behind(self, ticket: Ticket, path: bytes) -> None:
        """Below a folder that moved: a file that the filters leave out may have a wanted name elsewhere, and have
        been written just before, which made the hint at its path useless."""
        if inode_with_other_names(path):
            self._scheduler.look_at(path, ticket.library, Source.KERNEL, noticed=ticket.noticed)

    def _is_silent_loss(self, finding: Finding, library: Library) -> bool:
        """Whether a file is missing of which the kernel said nothing, as after the loss of a disk."""
        return finding.kind is FindingKind.MISSING and not self._scheduler.may_be_hinted(
            finding.path, library
        )

    def _is_closing(self) -> bool:
        """Asked every few entries, each time of which the scan has got on."""
        self._pulse.step()
        return self._stop.is_set()
