"""`status`: who runs, what is watched, what waits. Reads the catalog, and asks /readyz where it can.

`status --healthy` is for supervisors: it only asks /healthz, and imports little.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.figures import duration_text, size_text, utc_text
from file_watcher.cli.options import Given
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json

if TYPE_CHECKING:
    from rich.table import Table

    from file_watcher.catalog.database import Database
    from file_watcher.catalog.overview import Overview
    from file_watcher.catalog.requests import Instance


def status(
    given: Given,
    *,
    healthy: Annotated[
        bool,
        typer.Option(
            "--healthy", help="Only ask /healthz: exit code 0 or 1, for containers and supervisors."
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show who runs, the libraries, and what waits to be sent.

    Exit code 1 where no service runs, or one that runs is not ready.
    """
    if healthy:
        return _healthy(given)
    from file_watcher.cli.catalogs import live_instances, open_catalog, require_schema

    settings = given.load().settings
    with open_catalog(settings) as database:
        require_schema(database)
        document = _document(database, live_instances(database, settings))
    if as_json:
        typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False, indent=2)))
    else:
        _print(document)
    ready = [instance["ready"] for instance in document["instances"]]
    return FINE if ready and False not in ready else WRONG


def _healthy(given: Given) -> int:
    from file_watcher.cli.pages import health_document, http_address

    code, document = health_document(http_address(given))
    if code == HTTPStatus.OK:
        return FINE
    failing = [
        f"{name}: {component.get('detail')}"
        for name, component in document.get("components", {}).items()
        if isinstance(component, Mapping) and not component.get("ok")
    ]
    complain(*(failing or [f"not healthy: {document.get('status')}"]))
    return WRONG


def _document(database: Database, instances: Sequence[Instance]) -> dict[str, Any]:
    from file_watcher.catalog.overview import overview

    seen = overview(database)
    now_ns = time.time_ns()
    return {
        "catalog": database.shown,
        "running": bool(instances),
        "instances": [_instance(instance) for instance in instances],
        "libraries": [
            {
                "name": library.name,
                "path": library.path,
                "type": library.type,
                "state": library.state,
                "reason": library.reason,
                "first_scan_done": library.first_scan_done,
                "files": library.files,
                "size": library.size,
            }
            for library in seen.libraries
        ],
        "outbox": {
            "waiting": seen.waiting,
            "oldest_seconds": None if seen.oldest_ns is None else round((now_ns - seen.oldest_ns) / 1e9, 1),
        },
        "last_event": _last_event(seen),
    }


def _instance(instance: Instance) -> dict[str, Any]:
    from file_watcher.cli.pages import readiness

    answer = readiness(instance)
    return {
        "instance_id": instance.instance_id,
        "host": instance.host,
        "pid": instance.pid,
        "version": instance.version,
        "started": utc_text(instance.started_ns),
        "http": instance.detail.get("http"),
        "ready": None if answer is None else answer[0],
        "reasons": [] if answer is None else answer[1],
    }


def _last_event(seen: Overview) -> dict[str, Any] | None:
    last = seen.last_event
    if last is None:
        return None
    return {
        "event_type": last.event_type,
        "path": last.path,
        "recorded": utc_text(last.created_ns),
        "confirmed": None if last.published_ns is None else utc_text(last.published_ns),
        "unrouted": last.unrouted,
    }


def _print(document: Mapping[str, Any]) -> None:
    for instance in document["instances"]:
        typer.echo(_instance_line(instance))
        for reason in instance["reasons"]:
            typer.echo(f"  ! {escape_for_terminal(reason)}")
    if not document["instances"]:
        typer.echo("No service runs; start it with: python -m file_watcher run")
    typer.echo(f"Catalog   {document['catalog']}")
    outbox = document["outbox"]
    age = f", the oldest for {duration_text(outbox['oldest_seconds'])}" if outbox["waiting"] else ""
    messages = "message" if outbox["waiting"] == 1 else "messages"
    typer.echo(f"To send   {outbox['waiting']} {messages}{age}")
    if last := document["last_event"]:
        state = "confirmed" if last["confirmed"] else "not confirmed yet"
        if last["unrouted"]:
            state = "no queue wanted it"
        typer.echo(f"Last      {last['event_type']} {escape_for_terminal(last['path'])} ({state})")
    if document["libraries"]:
        _print_table(_table(document["libraries"]))


def _instance_line(instance: Mapping[str, Any]) -> str:
    words = {True: "is ready", False: "is NOT ready", None: "runs (its pages cannot be asked from here)"}
    where = f"process {instance['pid']} on {instance['host']}, version {instance['version']}"
    return f"{instance['instance_id']} {words[instance['ready']]}: {where}, http {instance['http'] or 'off'}"


def _table(libraries: Sequence[Mapping[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("library", "state", "folder"):
        table.add_column(heading, overflow="fold")
    table.add_column("files", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for library in libraries:
        state = library["state"] if library["first_scan_done"] else f"{library['state']}, not scanned yet"
        reason = f" ({library['reason']})" if library["reason"] else ""
        cells = (library["name"], f"{state}{reason}", library["path"])
        numbers = (f"{library['files']:,}", size_text(library["size"]))
        table.add_row(*(Text(escape_for_terminal(cell)) for cell in cells), *numbers)
    return table


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console(file=sys.stdout, highlight=False).print(table)
