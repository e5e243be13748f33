"""The service: start order, stop order and what happens in between, on one screen.

`assembly` builds the parts; here they live. The main thread waits; every other thread belongs to a part, but for
those that open the catalog and take leave of it: what a database or a disk keeps waiting does not hold up a stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from file_watcher.assembly import Parts, Surroundings, assemble, watchdog_over
from file_watcher.catalog.database import Database
from file_watcher.catalog.journal import LogLines
from file_watcher.catalog.owner import Ownership, owner_lock, refuse_if_owned
from file_watcher.catalog.schema import migrate
from file_watcher.errors import CatalogError, CatalogUnavailable, FileWatcherError, UsageError
from file_watcher.journal import Journal, JournalConfig
from file_watcher.lifecycle import Deadline, spawn
from file_watcher.model import Health, Library, OutboxMessage, Source
from file_watcher.ops.health import HealthServer
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.pages import HealthReport
from file_watcher.ops.watchdog import STUCK_SECONDS, Watchdog
from file_watcher.outlet import Outlet
from file_watcher.part_configs import told_broker
from file_watcher.service_health import (
    broker_health,
    database_health,
    journal_health,
    libraries_health,
    stages_health,
    steering_health,
    threads_health,
)
from file_watcher.settings import Layers, Settings
from file_watcher.version import VERSION

log = structlog.get_logger(__name__)

STOP_SECONDS: Final = 4.5
"""A stop must be over within 5 s, whatever a disk or a server does (SPEC section 6)."""
_GOODBYE_SECONDS: Final = 0.3
"""At least, for each of the two farewells to a database."""
_LOOK_SECONDS: Final = 0.1
_OPENING_SECONDS: Final = 1.0
"""How long a stop waits for a catalog that is being opened."""
_FIRST_RETRY: Final = 0.2
_LONGEST_RETRY: Final = 10.0
_UNEXPECTED: Final = "an error that nobody expected; it stands above with its traceback"


class Service:
    """One watching process over one catalog."""

    def __init__(
        self,
        settings: Settings,
        instance_id: str,
        catalog_url: str,
        on_delivered: Callable[[OutboxMessage], None],
        outlet: Outlet | None = None,
        layers: Layers | None = None,
    ) -> None:
        """`on_delivered` is called, on one thread, for each message that the broker has confirmed.

        With an `outlet` messages go there, and no broker is needed. With the `layers` that the settings were made
        of the catalog's database steers as well, from the start and while it runs.
        """
        self._layers = layers
        self._settings = settings
        self._instance_id = instance_id
        self._on_delivered = on_delivered
        self._outlet = outlet
        self._database = Database(catalog_url)
        self._owner: Ownership | None = None
        self._is_owner = False
        self._metrics = Metrics()
        self._stop = threading.Event()
        self._failed: str | None = None
        self._error: BaseException | None = None
        self._reason = ""
        self._outage: str | None = None
        self._parts: Parts | None = None
        self._watchdog: Watchdog | None = None
        self._http = self._health_server()
        self._journal = self._make_journal()

    def run(self, stop: threading.Event) -> int:
        """Serve until `stop` is set; returns the exit code.

        Raises UsageError where the address or the catalog is taken, CatalogError where the catalog cannot
        be used. A database that is away is waited for.
        """
        self._stop = stop
        self._listen()
        if self._journal is not None:
            self._journal.listen()
        try:
            parts = self._open_catalog()
            if parts is not None:
                self._serve(parts)
        finally:
            self._leave()
        if self._failed is None:
            return 0
        log.critical(
            "service_ended_early",
            thread=self._failed,
            reason=self._reason,
            advice="start the service again: what was not told yet is told then",
        )
        return 1

    def _listen(self) -> None:
        """First of all, so that the health can be asked for while the catalog is waited for."""
        if self._http is None:
            return
        try:
            self._http.start()
        except UsageError:
            # Most often a second service by the same settings: another address would not help it.
            try:
                with suppress(CatalogUnavailable, CatalogError):  # then it is the address that can be mended
                    refuse_if_owned(self._database, self._instance_id)
            finally:
                self._database.close()
            raise

    def rescan(self) -> None:
        """Scan all libraries soon. May be called from a signal handler's thread."""
        if self._parts is not None:
            self._parts.keeper.rescan(Source.RESCAN)

    def watch(self, root: Path) -> Library | None:
        """Have one more folder watched, where nothing but the program around us steers; the others go on undisturbed.

        May be called from any thread while the service runs. Returns before the folder is watched (`is_watching`
        tells), None where nothing is watched at all (`enabled`). Raises CatalogUnavailable or CatalogError, and
        nothing has changed then.
        """
        if self._parts is None:
            raise CatalogUnavailable("The catalog is being opened.")
        return self._parts.chosen.add(root)

    def is_watching(self, library_id: int, *, scanned: bool = False) -> bool:
        """Whether the library is watched by now, or suspended; with `scanned` whether its first scan since the start
        is over and told. Never blocks."""
        return self._parts is not None and self._parts.keeper.is_begun(library_id, scanned=scanned)

    def root_of(self, library_id: int) -> bytes | None:
        """Where a library lies that is watched now, for whoever shows its messages. Never blocks."""
        return None if self._parts is None else self._parts.fleet.root_of(library_id)

    @property
    def failure(self) -> BaseException | None:
        """What ended the service early; None while nothing has."""
        return self._error

    @property
    def outage(self) -> str | None:
        """Why the catalog cannot be opened yet, though it is tried again and again; None where it can."""
        return self._outage

    def libraries_health(self) -> Health:
        """Whether the libraries are watched, and how each is kept, by its name. Never blocks."""
        return libraries_health(self._parts)

    def _serve(self, parts: Parts) -> None:
        """Downstream first, so that nothing waits for a part that is not there yet; then wait."""
        self._parts = parts
        if self._journal is not None:
            self._journal.start()
        for stage in (parts.publisher, parts.relay, parts.deciding, parts.tags, parts.pool, parts.scheduler):
            stage.start()
        parts.scans.start()
        parts.keeper.start(parts.scans)
        parts.tenure.start()
        parts.desk.start()
        parts.house.start()
        if parts.steering is not None:
            parts.steering.start()
        if parts.jobs is not None:
            parts.jobs.start()
        others = () if self._journal is None else (self._journal.progress,)
        self._watchdog = watchdog_over(parts, self._metrics, self._fail, STUCK_SECONDS, others)
        self._watchdog.start()
        self._metrics.set_circuit_source(self._circuits)
        log.info("service_started", version=VERSION, catalog=self._database.shown)
        self._stop.wait()
        self._watchdog.close()
        self._shut_down(parts)

    def _shut_down(self, parts: Parts) -> None:
        """Upstream first: notice nothing new, finish what is in hand, flush the confirms."""
        whole = Deadline(STOP_SECONDS - 2 * _GOODBYE_SECONDS)
        steering = () if parts.steering is None else (parts.steering,)
        upstream = (
            *steering,
            parts.tenure,
            parts.desk,
            parts.house,
            *(() if parts.jobs is None else (parts.jobs,)),
            parts.keeper,
            parts.scans,
            parts.scheduler,
            parts.pool,
            parts.tags,
        )
        late: list[str] = []
        for group, seconds in ((upstream, 1.5), ((parts.deciding,), 1.0), ((parts.relay,), 2.0)):
            deadline = Deadline(min(seconds, whole.remaining()))
            for stage in group:
                stage.close()
            late.extend(type(stage).__name__ for stage in group if not stage.join(deadline))
        parts.publisher.close()
        if not parts.publisher.join(whole):
            late.append("Publisher")
        if self._watchdog is not None and not self._watchdog.join(whole):
            late.append("Watchdog")
        # A database that hangs must not hold up the end: the heartbeat grows old by itself.
        goodbye = spawn("fw-goodbye", lambda: self._say_goodbye(parts, late), self._fail)
        goodbye.join(max(whole.remaining(), _GOODBYE_SECONDS))

    def _say_goodbye(self, parts: Parts, late: list[str]) -> None:
        if late:
            log.warning("stopped_with_work_under_way", parts=late, effect="it is taken up at the next start")
        try:
            parts.tenure.release()
            parts.instances.retire(self._instance_id)
        except CatalogUnavailable as exc:
            log.warning("instance_not_retired", reason=str(exc))
        log.info("service_stopped")
        if self._journal is not None:
            self._journal.close()
            self._journal.join(Deadline(_GOODBYE_SECONDS))

    def _leave(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._owner is not None:
            # Nor may it hold up the end here: it frees the lock itself once it has seen that the session ended.
            spawn("fw-release", self._owner.release, self._fail).join(_GOODBYE_SECONDS)
        self._database.close()
        if self._http is not None:
            self._http.close()
            self._http.join(Deadline(1.0))

    def _open_catalog(self) -> Parts | None:
        """Open, migrate and own the catalog; waits for a database that is away. None where stopped before."""
        opening: futures.Future[Parts | None] = futures.Future()

        def open_it() -> None:
            try:
                opening.set_result(self._wait_for_catalog())
            except BaseException as exc:  # raised by the main thread, which waits for it
                opening.set_exception(exc)

        spawn("fw-open", open_it, self._fail)
        while not futures.wait([opening], _LOOK_SECONDS).done:
            if self._stop.is_set() and not futures.wait([opening], _OPENING_SECONDS).done:
                log.warning(
                    "stopped_with_work_under_way", parts=["catalog"], effect="it was still being opened"
                )
                return None
        return opening.result()

    def _wait_for_catalog(self) -> Parts | None:
        retrying = Retrying(
            retry=retry_if_exception_type(CatalogUnavailable),
            wait=wait_random_exponential(_FIRST_RETRY, _LONGEST_RETRY),
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=lambda state: self._note_outage(
                state.outcome.exception() if state.outcome else None
            ),
            reraise=True,
        )
        try:
            parts = retrying(self._try_to_open)
        except CatalogUnavailable:
            return None
        self._outage = None
        return None if self._stop.is_set() else parts

    def _try_to_open(self) -> Parts:
        self._database.open()
        if self._owner is None:  # the same one for all tries: it knows its own ghost
            self._owner = owner_lock(self._database, self._instance_id)
        if not self._is_owner:
            if self._stop.is_set():
                raise CatalogUnavailable("The service stops.")
            self._owner.acquire()
            self._is_owner = True
        migrate(self._database)
        return assemble(
            Surroundings(
                self._settings,
                self._instance_id,
                self._database,
                self._metrics,
                self._fail,
                self._on_delivered,
                self._detail,
                self._owner.keep,
                self._outlet,
                self._layers,
                self._log_from,
            )
        )

    def _note_outage(self, error: BaseException | None) -> None:
        if self._outage is None:
            log.error("database_unavailable", reason=str(error), effect="nothing is watched until it is back")
        self._outage = str(error)

    def _fail(self, thread: str, error: BaseException) -> None:
        """A thread died: better start anew than go on half dead."""
        log.critical("service_failing", thread=thread, error=repr(error))
        if self._failed is None:
            is_known = isinstance(error, FileWatcherError)
            self._reason = str(error) if is_known else _UNEXPECTED
            self._failed = thread
            self._error = error
        self._stop.set()

    def _detail(self) -> Mapping[str, Any]:
        """What the heartbeat tells about this instance."""
        address = self._http.address if self._http is not None else None
        roots = [str(root) for root in self._settings.roots]
        http = None if address is None else f"{address[0]}:{address[1]}"
        broker = None if self._outlet is not None else told_broker(self._settings)
        return {"http": http, "roots": roots, "broker": broker}

    def _health_server(self) -> HealthServer | None:
        if self._settings.http_addr is None:
            return None
        report = HealthReport(
            self._instance_id,
            VERSION,
            liveness=[lambda: threads_health(self._failed), lambda: stages_health(self._watchdog)],
            readiness=[
                lambda: database_health(self._database, self._parts, self._outage),
                lambda: broker_health(self._parts),
                self.libraries_health,
                lambda: steering_health(self._parts),
                lambda: journal_health(self._journal),
            ],
        )
        return HealthServer(self._settings.http_addr, report, self._metrics.app(), self._fail)

    def _log_from(self, level: str) -> None:
        if self._journal is not None:
            self._journal.adjust(level)

    def _make_journal(self) -> Journal | None:
        """Inside another program the log is that program's business."""
        if self._outlet is not None:
            return None
        config = JournalConfig(self._instance_id, self._settings.watch.log_to_database)
        return Journal(config, LogLines(self._database), self._fail)

    def _circuits(self) -> Mapping[str, str]:
        """The state of each dependency's circuit, for the metrics."""
        assert self._parts is not None
        circuits = (*self._database.circuits, self._parts.publisher.circuit)
        return {circuit.dependency: str(circuit.view().state) for circuit in circuits}
