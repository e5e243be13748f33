"""`run`: watch, and publish every change, until a signal says stop.

The main thread waits in the service; `fw-signals` listens for signals (see `signals`), and published events
are shown on the publisher's thread.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, Literal

import structlog
import typer

from file_watcher.cli.addresses import shown
from file_watcher.cli.endings import complain
from file_watcher.cli.options import Given
from file_watcher.cli.places import Home, move_in, runtime_rows
from file_watcher.cli.signals import Signals
from file_watcher.errors import CatalogUnavailable
from file_watcher.model import OutboxMessage, display
from file_watcher.ops.log import configure, is_terminal, wants_color
from file_watcher.paths import inner
from file_watcher.settings import Loaded, Settings
from file_watcher.system import lower_priority

log = structlog.get_logger(__name__)

Format = Literal["console", "json"]

_COLLECT_AFTER: Final = 50_000
"""New containers until circles among them are looked for. What a file leaves behind holds none, so that looking
after every 700, as Python does, mostly walks over files that are under way: 4 of 100 seconds of an import."""
_SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter's lock while others wait for it. Hashing threads give it up at
every read; with Python's 5 ms each would wait that long behind whoever decides or encodes."""


def run(given: Given) -> int:
    """Watch, and publish every change, until Ctrl-C or SIGTERM.

    What happened while it did not run is found by comparing the disk with the catalog. SIGHUP compares
    again. A second Ctrl-C ends it at once.
    """
    without_rows = given.load()
    home = move_in(without_rows.settings)
    # Before the database is asked, which may have something to log; its rows say nothing of the log.
    log_format = configure(
        without_rows.settings.log_level, without_rows.settings.log_format, home.instance_id
    )
    # What is wrong with rows is told by the service, which reads them again whenever they change.
    _tell_warnings(without_rows.warnings, log_format)
    return _serve(_with_runtime_settings(given, without_rows, home), home, log_format)


def _serve(loaded: Loaded, home: Home, log_format: Format) -> int:
    from file_watcher.processing.lease import ignore_lease_signals
    from file_watcher.service import Service

    stop, settings = threading.Event(), loaded.settings

    def root_of(library_id: int) -> bytes | None:
        return service.root_of(library_id)  # asked when there are messages, and so a service that sent them

    teller = _teller(settings.log_level, log_format, root_of)
    service = Service(settings, home.instance_id, home.catalog_url, teller, layers=loaded.layers)
    on_terminal = log_format == "console" and is_terminal(sys.stderr)

    def end() -> None:
        stop.set()
        if on_terminal:
            typer.echo("Stopping … (once more to stop at once)", err=True)

    ignore_lease_signals()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_COLLECT_AFTER)
    gc.freeze()
    lower_priority(settings.watch.nice)
    with Signals(end, service.rescan):
        if on_terminal:
            _introduce(settings, home)
        return service.run(stop)


def _with_runtime_settings(given: Given, without_rows: Loaded, home: Home) -> Loaded:
    """The settings, with what the catalog's database says of them where it can be read at once: some hold only
    from the start."""
    try:
        return given.load(runtime_rows(home.catalog_url))
    except CatalogUnavailable as exc:
        log.warning(
            "runtime_settings_not_read",
            reason=str(exc),
            effect="they are read when it is back; nice and the reading of tags wait for the next start",
        )
        return without_rows


def _tell_warnings(warnings: Sequence[str], log_format: Format) -> None:
    if log_format == "console":
        complain(*(f"warning: {line}" for line in warnings))
        return
    for line in warnings:
        log.warning("settings_warning", detail=line)


def _teller(
    log_level: str, log_format: Format, root_of: Callable[[int], bytes | None]
) -> Callable[[OutboxMessage], None]:
    """What is done with each published message: a line for a person, or one for the log at its finest.

    At INFO the log has none: in an import its lines cost more than the events. `events` lists them.
    """
    if log_format == "json":
        return _log_published if log_level == "DEBUG" else lambda _message: None
    from file_watcher.ops.terminal import EventPrinter

    printer = EventPrinter(sys.stdout, wants_color(sys.stdout))
    return lambda message: printer.event(message.body, root_of(message.library_id))


def _log_published(message: OutboxMessage) -> None:
    log.debug(
        "event_published",
        event_type=message.event_type,
        path=display(message.path),
        old_path=None if message.old_path is None else display(message.old_path),
        event_id=message.event_id,
        library=message.library,
    )


def _introduce(settings: Settings, home: Home) -> None:
    """Say what is watched and where things go, before the first line of the log."""
    from file_watcher.catalog.database import Database

    for line in introduction(settings, Database(home.catalog_url).shown):
        typer.echo(line, err=True)


def introduction(settings: Settings, catalog: str) -> list[str]:
    """Three lines for the person who started us. Looks whether the roots are there."""
    address = settings.rabbitmq.address()
    roots = [
        display(inner(root)) + ("" if root.is_dir() else " (not there yet: it is waited for)")
        for root in settings.roots
    ]
    port = address.port or (5671 if address.tls else 5672)
    listening = settings.http_addr
    health = "No HTTP address is set" if listening is None else f"Health at http://{shown(listening)}/healthz"
    return [
        f"Watching {', '.join(roots)}"
        if settings.watch.enabled
        else "Watching nothing (FILE_WATCH_ENABLED=false)",
        f"Events go to exchange {settings.rabbitmq.exchange} at {shown((address.host, port))}, vhost {address.vhost}",
        f"Catalog in {catalog}",
        f"{health}; Ctrl-C stops",
    ]
