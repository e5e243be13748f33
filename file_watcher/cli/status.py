"""`status`: who runs, what is watched, what waits. Reads the catalog, and asks /readyz where it can.

`status --healthy` is for supervisors: it only asks /healthz, and imports little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.figures import utc_text
from file_watcher.cli.options import Given
from file_watcher.cli.status_page import show_status
from file_watcher.ops.sanitize import escape_in_json

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.overview import LibraryOverview, Overview
    from file_watcher.catalog.requests import Instance

_ASKED_AT_ONCE: Final = 16
_A_DAY_NS: Final = 86_400 * 10**9
_ERRORS: Final = 3


def status(
    given: Given,
    *,
    healthy: Annotated[
        bool,
        typer.Option(
            "--healthy",
            help="Only ask /healthz of our service: exit code 0 or 1, for containers and supervisors.",
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
        ours = {instance.instance_id for instance in live_instances(database, settings)}
        document = _document(database)
    if as_json:
        typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False, indent=2)))
    else:
        show_status(document)
    ready = [each["ready"] for each in document["instances"] if each["instance_id"] in ours]
    return FINE if ready and False not in ready else WRONG


def _healthy(given: Given) -> int:
    from file_watcher.cli.pages import health_document, http_address, own_name

    ours, (host, port) = own_name(given), http_address(given)
    code, document = health_document((host, port))
    answering = document.get("instance_id")
    if ours not in {None, answering}:
        complain(
            f"another service ({answering}) answers at {host}:{port}, not ours ({ours}): start ours, or say with "
            "WATCHER_HTTP_ADDR where it listens, or with INSTANCE_ID which one is meant"
        )
        return WRONG
    if code == HTTPStatus.OK:
        return FINE
    failing = [
        f"{name}: {component.get('detail')}"
        for name, component in document.get("components", {}).items()
        if isinstance(component, Mapping) and not component.get("ok")
    ]
    complain(*(failing or [f"not healthy: {document.get('status')}"]))
    return WRONG


def _document(database: Database) -> dict[str, Any]:
    from file_watcher.catalog.overview import overview

    seen = overview(database)
    now_ns = time.time_ns()
    instances = _instances(database, now_ns)
    return {
        "catalog": database.shown,
        "running": any(instance["alive"] for instance in instances),
        "instances": instances,
        "libraries": [_library(library) for library in seen.libraries],
        "outbox": {
            "waiting": seen.waiting,
            "oldest_seconds": None if seen.oldest_ns is None else round((now_ns - seen.oldest_ns) / 1e9, 1),
        },
        "last_event": _last_event(seen),
        "errors": _errors(database, now_ns),
    }


def _library(library: LibraryOverview) -> dict[str, Any]:
    return {
        "id": library.id,
        "name": library.name,
        "path": library.path,
        "type": library.type,
        "is_watched": library.is_watched,
        "state": library.state,
        "reason": library.reason,
        "first_scan_done": library.first_scan_done,
        "owner": library.owner,
        "files": library.files,
        "size": library.size,
        "rules": dict(library.rules),
    }


def _instances(database: Database, now_ns: int) -> list[dict[str, Any]]:
    """Those that live, then those that went without a word."""
    from file_watcher.catalog.requests import Instances
    from file_watcher.cli.catalogs import all_live
    from file_watcher.cli.pages import readiness
    from file_watcher.version import VERSION

    live = all_live(database)
    names = {instance.instance_id for instance in live}
    dead = [each for each in Instances(database, VERSION).all() if each.instance_id not in names]
    with ThreadPoolExecutor(_ASKED_AT_ONCE, "status") as pool:  # a page that does not answer takes seconds
        answers = [*pool.map(readiness, live)]
    found = [_instance(each, now_ns, answer) for each, answer in zip(live, answers, strict=True)]
    return found + [_dead(each, now_ns) for each in dead]


def _instance(instance: Instance, now_ns: int, answer: tuple[bool, list[str]] | None) -> dict[str, Any]:
    return {
        "instance_id": instance.instance_id,
        "alive": True,
        "heartbeat_seconds": round(instance.age_seconds(now_ns), 1),
        "host": instance.host,
        "pid": instance.pid,
        "version": instance.version,
        "started": utc_text(instance.started_ns),
        "http": instance.detail.get("http"),
        "ready": None if answer is None else answer[0],
        "reasons": [] if answer is None else answer[1],
        "libraries": [dict(library) for library in instance.libraries],
        "counters": dict(instance.counters),
        "errors": instance.errors,
        "last_event": None if instance.last_event_ns is None else utc_text(instance.last_event_ns),
    }


def _dead(instance: Instance, now_ns: int) -> dict[str, Any]:
    """It did not say goodbye: killed, or cut off. Nobody asks its pages."""
    return _instance(instance, now_ns, (False, [])) | {"alive": False}


def _errors(database: Database, now_ns: int) -> list[dict[str, Any]]:
    from file_watcher.catalog.journal import LinesWanted, LogLines

    wanted = LinesWanted("error", since_ns=now_ns - _A_DAY_NS)
    return [
        {
            "time": utc_text(line.created_ns),
            "instance_id": line.instance_id,
            "event": line.event,
            "library": line.library,
        }
        for line in LogLines(database).newest(wanted, _ERRORS)
    ]


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
