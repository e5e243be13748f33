"""What is behind a `Watcher`: starts and stops the core, and feeds the program.

Owns the thread `fw-callback` where the program wants to be called. It knows nothing of the `Watcher` that it belongs
to, so that one which is forgotten can be collected, and is stopped then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from file_watcher.embedding.core import Core
from file_watcher.embedding.errors import WatcherError, WatcherStopped
from file_watcher.embedding.event import FileEvent
from file_watcher.embedding.handover import Handover, Parcel
from file_watcher.embedding.logs import loan
from file_watcher.embedding.metadata import MetadataOnDemand
from file_watcher.embedding.options import Options
from file_watcher.embedding.place import CatalogPlace
from file_watcher.embedding.roots import AnyPath, root_of
from file_watcher.embedding.stats import RootStats, Stats
from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, spawn

_CALLBACK_SECONDS: Final = 5.0
"""How long a stop waits for a callback that is under way."""
_TAGS_SECONDS: Final = 1.0


class Engine:
    """All methods may be called from any thread, and in any order."""

    def __init__(
        self, options: Options, paths: Sequence[AnyPath], on_event: Callable[[FileEvent], object] | None
    ) -> None:
        self._options = options
        self._wanted = list(paths)
        self._on_event = on_event
        self._place = CatalogPlace(options.catalog)
        self._handover = Handover()
        self._metadata = MetadataOnDemand(options.watch, lambda _name, error: self._fail(_died(error)))
        self._changing = threading.RLock()
        """Held while the core is started or ended, or gets a folder. Reentrant, for a signal handler may call `stop`
        anywhere."""
        self._roots: tuple[Path, ...] = ()
        self._core: Core | None = None
        self._callback: threading.Thread | None = None
        self._is_running = False
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._failure: WatcherError | None = None
        self._is_failure_told = False

    # -- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start; does nothing where it runs. Raises WatcherError, after which it may be tried again."""
        with self._changing:
            self._refuse_if_stopped("start")
            if self._is_running:
                return
            loan.begin()
            try:
                for path in self._wanted:
                    self._roots = (*self._roots, root_of(path, self._roots))
                self._run_core(self._roots)
            except BaseException:
                self._roots = ()
                self._place.close()
                loan.end()
                raise
            self._is_running = True
            if self._on_event is not None:
                self._callback = spawn("fw-callback", self._call_back, lambda _name, _error: None)

    def watch(self, path: AnyPath) -> None:
        """Watch this folder, too; see `Watcher.watch`."""
        with self._changing:
            self._refuse_if_stopped("watch")
            if not self._is_running:
                self._wanted.append(path)
                return
            root = root_of(path, self._roots)
            self._place.check([root])
            core = self._core
            if core is None:
                self._run_core((root,))
                self._roots = (root,)
                return
            added = core.add(root)
            self._roots = (*self._roots, root)
            if added is not None:
                core.wait_for(added)

    def stop(self) -> None:
        """End everything; waits a few seconds at most. A second call waits for the first."""
        is_second = self._stopping.is_set()
        self._stopping.set()
        self._handover.end()
        if is_second and self._callback is threading.current_thread():
            return  # the first call waits for this very thread
        core = self._core
        if core is not None and self._callback is None:
            core.ask_to_end()  # ends a start that is waiting, too
        elif core is not None:
            core.give_up_waiting()  # a callback's last event is confirmed before the core ends
        with self._changing:
            if self._is_running:
                self._is_running = False
                self._end_callback()
                self._metadata.close()
                self._end_core()
                self._metadata.join(Deadline(_TAGS_SECONDS))
                self._place.close()
                loan.end()
        self._over.set()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False after `timeout` seconds. Raises the error that ended it."""
        is_over = self._over.wait(timeout)
        self._raise_failure()
        return is_over

    def raise_untold_failure(self) -> None:
        """Raise what ended it, unless somebody was told already."""
        if not self._is_failure_told:
            self._raise_failure()

    # -- events --------------------------------------------------------------------------------------

    def events(self, timeout: float | None) -> Iterator[FileEvent]:
        """See `Watcher.events`. Starts it where it does not run yet."""
        if self._on_event is not None:
            raise WatcherError("events", None, "the events of this watcher go to its on_event")
        self._refuse_if_stopped("events")
        self.start()
        return self._stream(timeout)

    def _stream(self, timeout: float | None) -> Iterator[FileEvent]:
        parcel: Parcel | None = None
        try:
            while (parcel := self._handover.take(parcel, timeout)) is not None:
                yield parcel.event
            self._raise_failure()
        finally:
            if parcel is not None:
                self._handover.leave(parcel)

    def _call_back(self) -> None:
        assert self._on_event is not None
        parcel: Parcel | None = None
        while (parcel := self._handover.take(parcel, None)) is not None:
            try:
                self._on_event(parcel.event)
            except BaseException as exc:
                path = parcel.event.path
                error = WatcherError(
                    "on_event", path, f"your callback raised {exc!r}, which ended the watcher"
                )
                error.__cause__ = exc
                self._fail(error)
                # As for any thread of the program's own that dies: by default the traceback is shown.
                threading.excepthook(
                    threading.ExceptHookArgs((type(exc), exc, exc.__traceback__, threading.current_thread()))
                )
                return

    # -- questions -----------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """See `Watcher.stats`."""
        core, roots = self._core, self._roots
        source = None if core is None else core.source
        if core is None or source is None:
            states = tuple(RootStats(root, "not watched") for root in roots)
            taken = self._handover.taken()
            return Stats(running=False, roots=states, healthy=False, waiting=None, taken=taken)
        health = core.service.libraries_health()
        states = tuple(
            RootStats(root, str(health.facts.get(library.name, "not watched yet")))
            for root, library in zip(roots, source.libraries, strict=False)
        )
        try:
            waiting: int | None = source.waiting()
        except CatalogUnavailable:
            waiting = None
        is_running = self._is_running and self._failure is None
        return Stats(is_running, states, health.ok and is_running, waiting, self._handover.taken())

    # -- inside --------------------------------------------------------------------------------------

    def _run_core(self, roots: tuple[Path, ...]) -> None:
        """Start a core for the folders; none where there are none."""
        self._place.check(roots)
        if not roots:
            return
        catalog = self._place.open()
        self._core = Core(self._options, roots, catalog, self._handover, self._metadata.read, self._fail)
        if self._stopping.is_set():
            raise _stopped("start")
        try:
            self._core.start()
        except WatcherError:
            self._core = None
            raise

    def _end_core(self) -> None:
        core = self._core
        if core is not None:
            core.stop()
        self._core = None

    def _end_callback(self) -> None:
        if self._callback is not None and self._callback is not threading.current_thread():
            self._callback.join(_CALLBACK_SECONDS)

    def _fail(self, error: WatcherError) -> None:
        """It ended by itself: whoever waits is told. What is left of it is ended by `stop`."""
        if self._failure is None:
            self._failure = error
        self._handover.end()
        self._over.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._is_failure_told = True
            raise self._failure

    def _refuse_if_stopped(self, op: str) -> None:
        self._raise_failure()
        if self._stopping.is_set():
            raise _stopped(op)


def _stopped(op: str) -> WatcherStopped:
    return WatcherStopped(op, None, "this watcher was stopped; make a new one")


def _died(error: BaseException) -> WatcherError:
    meaning = WatcherError("metadata", None, f"the reader of metadata ended ({error!r})")
    meaning.__cause__ = error
    return meaning
