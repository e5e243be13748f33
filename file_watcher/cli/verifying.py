"""`verify`: read the files that the catalog knows once more, and tell which have other bytes than were told.

Everything runs on the caller's thread but the signals (see `signals`) and the display of the progress. Nothing is
written but the place where it stands (see `verify_place`); the service may run meanwhile, and need not.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.narrowing import Below, LibraryName, chosen_libraries, intervals_of, ways_to
from file_watcher.cli.options import Given
from file_watcher.cli.progress import ByteBar, showing_bytes
from file_watcher.cli.signals import Signals
from file_watcher.cli.verify_place import MOST_KEPT, Place, PlaceFile, PlaceNotKept
from file_watcher.cli.verify_report import Report
from file_watcher.cli.verify_scope import refuse_nothing_there, that_can_be_verified
from file_watcher.errors import UsageError
from file_watcher.settings import Settings, state_folder
from file_watcher.settings.quantities import is_off, read_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from file_watcher.catalog.bookkeeping import Books, KnownLibrary
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.snapshot import Interval
    from file_watcher.processing.fingerprint import Reading
    from file_watcher.verification import Inspector, Stretch

_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it: it is not done."""
_KEEP_SECONDS: Final = 2.0
"""Between two notes of the place: what a kill costs."""

_Rate = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Read at most so much per second, such as 50MB. Else `FILE_WATCH_READ_RATE_LIMIT`.",
        show_default=False,
    ),
]
_Restart = Annotated[
    bool, typer.Option("--restart", help="Begin anew, instead of where an earlier one was stopped.")
]


def verify(
    given: Given,
    library: LibraryName = None,
    *,
    path: Below = None,
    limit_rate: _Rate = None,
    restart: _Restart = False,
    as_json: AsJson = False,
) -> int:
    """Read all files once more, and report silent corruption.

    Corrupt: other bytes, though size and times are those of the catalog. Altered: other bytes behind the same size
    and mtime, but something was done to the file (ctime). Files that were changed in the ordinary way are counted
    apart; the service tells them. Stopped by Ctrl-C, the same command goes on where it stood.

    Exit code 1 where a file is corrupt, altered or cannot be read, 2 where there is none to be read at --path.
    """
    from file_watcher.catalog.bookkeeping import Books
    from file_watcher.catalog.runtime_settings import settings_rows
    from file_watcher.cli.catalogs import read_catalog

    ways = ways_to(path)
    with read_catalog(given.load().settings) as database:
        settings = given.load(settings_rows(database)).settings
        rate = _bytes_per_second(limit_rate, settings)
        books, chosen = Books(database), chosen_libraries(database, library)
        refuse_nothing_there(books, chosen, ways)
        chosen = that_can_be_verified(chosen, named=library is not None)
        kept = _place_file(database, chosen, ways)
        if restart:
            kept.remove()
        work = _Work(books, chosen, intervals_of(ways), kept, Report(as_json=as_json))
        return work.run(settings, rate)


class _Work:
    """One run of `verify`: from the place where it stands to the end, or to the signal."""

    def __init__(
        self,
        books: Books,
        libraries: list[KnownLibrary],
        within: tuple[Interval, ...],
        kept: PlaceFile,
        report: Report,
    ) -> None:
        self._books = books
        self._libraries = libraries
        self._within = within
        self._kept = kept
        self._report = report
        self._stop = threading.Event()
        self._place = kept.load() or Place()
        self._reading = 0
        """Bytes of the file that is being read."""
        self._shown = 0
        self._complained = False

    def run(self, settings: Settings, rate: float | None) -> int:
        from file_watcher.processing.fingerprint import Interrupted

        amounts = [self._books.amount(each.library.id, self._within) for each in self._libraries]
        total = sum(amount.size for amount in amounts)
        place = self._place
        if place.library_id is not None:
            self._report.goes_on(place, total)
        began = time.monotonic() - place.seconds
        with (
            Signals(self._stop.set),
            showing_bytes("verifying", total, place.size) as bar,
        ):
            self._report.beside(bar)
            inspector = self._inspector(settings, rate, bar)
            try:
                self._go_through(inspector, began)
            except Interrupted:
                self._stop.set()
            except BaseException:
                self._keep(began)
                raise
        if self._stop.is_set():
            self._keep(began)
            self._report.stopped(place, total)
            return _INTERRUPTED
        place.seconds = time.monotonic() - began
        self._kept.remove()
        return WRONG if self._report.summary(place) else FINE

    def _go_through(self, inspector: Inspector, began: float) -> None:
        from file_watcher.verification import Verification

        kept_at = time.monotonic()
        place = self._place
        for stretch, row, finding in Verification(self._books, inspector).findings(self._stretches()):
            if finding is not None:
                place.counts[finding.verdict] += 1
                if (told := self._report.finding(stretch.library, finding)) and len(place.damage) < MOST_KEPT:
                    place.damage.append(told)
            place.library_id, place.after = stretch.library.id, row.path
            place.size += row.stat.size
            if time.monotonic() - kept_at >= _KEEP_SECONDS:
                self._keep(began)
                kept_at = time.monotonic()
            if self._stop.is_set():
                return

    def _stretches(self) -> Iterator[Stretch]:
        """What is still to be done; of libraries in the order of their names."""
        from file_watcher.verification import Stretch

        numbers = [each.library.id for each in self._libraries]
        reached = self._place.library_id
        first = numbers.index(reached) if reached in numbers else 0
        for number, known in enumerate(self._libraries[first:]):
            yield Stretch(known, self._within, self._place.after if number == 0 else b"")

    def _inspector(self, settings: Settings, rate: float | None, bar: ByteBar) -> Inspector:
        from file_watcher.processing.fingerprint import Fingerprinter
        from file_watcher.processing.lease import WriterProbe, ignore_lease_signals
        from file_watcher.processing.read_limit import ReadLimit
        from file_watcher.senses import LeaseTrust
        from file_watcher.verification import Inspector

        slow_down = None if rate is None else ReadLimit(rate, self._stop.wait)
        follow = settings.watch.follow_symlinks
        trust = LeaseTrust()
        for known in self._libraries:
            trust.learn(known.library)
        probe = WriterProbe(trust)
        ignore_lease_signals()

        def read_block(size: int) -> None:
            self._reading += size
            # What is read a second time, to make sure, moves the bar no further, nor back.
            self._shown = max(self._shown, self._place.size + self._reading)
            bar.show(self._shown)
            if slow_down is not None:
                slow_down(size)

        reader = Fingerprinter(self._stop.is_set, limiter=read_block)

        def read(path: bytes) -> Reading:
            self._reading = 0
            return reader.read(path, follow_symlinks=follow)

        return Inspector(
            read,
            lambda row: self._books.row(row.library_id, row.path),
            lambda path: probe.is_open_for_writing(path, follow_symlinks=follow),
            follow_symlinks=follow,
        )

    def _keep(self, began: float) -> None:
        self._place.seconds = time.monotonic() - began
        if self._place.library_id is None:
            return
        try:
            self._kept.save(self._place)
        except PlaceNotKept as exc:
            if not self._complained:
                complain(f"warning: {exc}")
            self._complained = True


def _place_file(database: Database, chosen: list[KnownLibrary], ways: tuple[bytes, ...]) -> PlaceFile:
    return PlaceFile(state_folder(os.environ), database.shown, [known.library.id for known in chosen], ways)


def _bytes_per_second(text: str | None, settings: Settings) -> float | None:
    if text is None:
        rate = settings.watch.read_rate_limit
        return None if rate is None else rate * 1e6
    try:
        found = None if is_off(text) else read_size(text)
    except ValueError:
        found = -1
    # A number without a unit would be taken for bytes, which nobody means; nor does a limit below one block a second.
    if found is not None and (found < _SLOWEST or text.strip().isdigit()):
        raise UsageError(f"--limit-rate {text!r} is no rate; such as 500kB, 50MB or off (per second)")
    return None if found is None else float(found)


_SLOWEST: Final = 1_000
