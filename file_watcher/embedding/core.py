"""One run of the service inside a program.

Its methods may be called from any thread; `start` and `watch` by one at a time. Owns the thread `fw-core`, which is to the service what the main thread is to `run`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from file_watcher.embedding.delivery import InProcessDelivery
from file_watcher.embedding.errors import WatcherError, WatcherStopped
from file_watcher.embedding.event import MetadataSource
from file_watcher.embedding.handover import Handover
from file_watcher.embedding.options import Options, settings_of
from file_watcher.errors import CatalogBusy, CatalogError, CatalogUnavailable
from file_watcher.lifecycle import spawn
from file_watcher.outlet import Outlet, Source
from file_watcher.publishing.lane import Listener
from file_watcher.service import STOP_SECONDS, Service
from file_watcher.settings import Settings

_INSTANCE: Final = "embedded"
"""Who we are in our catalog; nobody else sees it."""
_FIRST_LOOK_SECONDS: Final = 0.01
_LOOK_SECONDS: Final = 0.2
"""Between two looks, growing from the first to this: a folder is watched within moments, or takes long to read."""
_CATALOG_AWAY: Final = "the catalog cannot be used now; is its disk full, or does somebody hold it locked?"
_OPENING_SECONDS: Final = 15.0
"""How long a catalog may be locked by somebody, or its disk full, before a start is given up."""


class Core:
    """Watches folders from `start` to `stop`. `on_end(error)` is called where it ends by itself."""

    def __init__(
        self,
        options: Options,
        roots: tuple[Path, ...],
        catalog: Path,
        handover: Handover,
        metadata_source: MetadataSource,
        on_end: Callable[[WatcherError], None],
    ) -> None:
        self._options = options
        self._catalog = catalog
        self._handover = handover
        self._metadata_source = metadata_source
        self._on_end = on_end
        self._stop = threading.Event()
        self._news = threading.Event()
        self._error: BaseException | None = None
        self._was_ready = False
        self._is_awaited = False
        """Whether the program waits for us, and so can take no event."""
        self._is_given_up = False
        self._delivery: InProcessDelivery | None = None
        self._thread: threading.Thread | None = None
        self._service = self._make_service(settings_of(options, roots, catalog))

    def start(self) -> None:
        """Start, and wait until it watches (and, without `existing`, knows what is there).

        Raises WatcherError, and WatcherStopped where it was asked to end meanwhile; nothing runs then.
        """
        self._thread = spawn("fw-core", self._run, lambda _name, _error: None)
        try:
            self._wait_until(self._is_ready)
            self._was_ready = True
            if self._error is not None:  # so late that nobody else tells it
                raise self._meaning(self._error) from self._error
        except BaseException:
            self.stop()
            raise

    def add(self, root: Path) -> int | None:
        """Have one more folder watched, beside the others, which go on undisturbed; the library's number, for
        `wait_for`. None where nothing is watched at all.

        Raises WatcherError where the catalog cannot be used, and nothing has changed then.
        """
        try:
            library = self._service.watch(root)
        except (CatalogUnavailable, CatalogError) as exc:
            reason = f"{_CATALOG_AWAY} The folder is not watched; try again then"
            raise WatcherError("watch", root, reason) from exc
        return None if library is None else library.id

    def wait_for(self, library_id: int) -> None:
        """Wait until a folder that was added is watched (and, without `existing`, known).

        Raises WatcherError where the core ended by itself meanwhile, and WatcherStopped after `give_up_waiting`.
        """
        self._wait_until(lambda: self._service.is_watching(library_id) and not self._is_unknown(library_id))

    def give_up_waiting(self) -> None:
        """Nobody is to wait for a folder any more. Never blocks; may be called from anywhere, twice."""
        self._is_given_up = True
        self._news.set()

    def ask_to_end(self) -> None:
        """Never blocks; may be called from anywhere, twice."""
        self._stop.set()
        self.give_up_waiting()

    def stop(self) -> bool:
        """Ask, and wait for the end; False where something still hangs after `service.STOP_SECONDS`."""
        self.ask_to_end()
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(STOP_SECONDS + 1.0)
        return not self._thread.is_alive()

    @property
    def source(self) -> Source | None:
        """What is watched; None before the catalog is open."""
        return None if self._delivery is None else self._delivery.source

    @property
    def service(self) -> Service:
        """The service, for questions."""
        return self._service

    def _make_service(self, settings: Settings) -> Service:
        outlet = Outlet(self._deliver, self._options.buffer, self._expect, lambda: self._is_awaited)
        return Service(settings, _INSTANCE, self._url(settings), self._handover.settled, outlet)

    def _url(self, settings: Settings) -> str:
        return settings.catalog_url(self._catalog.parent)

    def _deliver(self, relay: Listener, source: Source) -> InProcessDelivery:
        self._delivery = InProcessDelivery(
            relay,
            source,
            self._handover,
            self._metadata_source,
            self._news.set,
            existing=self._options.existing,
        )
        return self._delivery

    def _expect(self, source: Source) -> None:
        assert self._delivery is not None
        self._delivery.expect(source)

    def _run(self) -> None:
        try:
            if self._service.run(self._stop) != 0:
                self._error = self._service.failure
        except BaseException as exc:  # told to whoever started us, and to whoever waits for events
            self._error = exc
        finally:
            self._news.set()
        if self._error is not None and self._was_ready:
            self._on_end(self._meaning(self._error))

    def _is_ready(self) -> bool:
        """Whether every change from now on will be told."""
        delivery = self._delivery
        if delivery is None or not delivery.is_started:
            return False
        return not any(self._is_unknown(each) for each in delivery.unknown())

    def _is_unknown(self, library_id: int) -> bool:
        """Whether changes of it would not be told yet. The notice of its first scan may be recorded, and wait behind
        events that the program does not take while it waits for us."""
        assert self._delivery is not None
        is_passed_over = library_id in self._delivery.unknown()
        return is_passed_over and not self._service.is_watching(library_id, scanned=True)

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        self._is_awaited = True
        try:
            self._wait_for_news_until(is_so)
        finally:
            self._is_awaited = False

    def _wait_for_news_until(self, is_so: Callable[[], bool]) -> None:
        waited, pause = 0.0, _FIRST_LOOK_SECONDS
        while True:
            if self._is_given_up:
                raise WatcherStopped("watch", None, "the watcher was stopped meanwhile")
            if self._error is not None:
                raise self._meaning(self._error) from self._error
            if is_so():
                return
            waited += 0.0 if self._news.wait(pause) else pause
            pause = min(2 * pause, _LOOK_SECONDS)
            self._news.clear()
            if waited >= _OPENING_SECONDS and (outage := self._service.outage) is not None:
                raise self._meaning(CatalogUnavailable(outage))

    def _meaning(self, error: BaseException) -> WatcherError:
        """The error in a program's words, the service's chained."""
        if isinstance(error, CatalogBusy):
            reason = "another watcher uses this catalog; give each one a catalog of its own"
        elif isinstance(error, CatalogUnavailable):
            reason = _CATALOG_AWAY
        elif isinstance(error, CatalogError):
            reason = (
                "the catalog cannot be used; name a file that does not exist yet, in a folder to write to"
            )
        else:
            reason = f"the watcher ended by itself ({error!r}); what was not handled is told by the next one"
        op = "open" if isinstance(error, CatalogBusy | CatalogUnavailable | CatalogError) else "run"
        meaning = WatcherError(op, self._catalog if op == "open" else None, reason)
        meaning.__cause__ = error
        return meaning
