"""What `status` found, for people. Owns no thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from file_watcher.cli.figures import counted, duration_text, size_text
from file_watcher.cli.folding import folded
from file_watcher.ops.sanitize import escape_for_terminal

if TYPE_CHECKING:
    from file_watcher.cli.tables import Heading

_LATE_SECONDS: Final = 15.0
"""A heartbeat comes every 10 s."""


def show_status(document: Mapping[str, Any]) -> None:
    """For people, 80 columns wide where their terminal is."""
    for instance in document["instances"]:
        typer.echo(_instance_line(instance))
        for reason in instance["reasons"]:
            typer.echo(f"  ! {folded(escape_for_terminal(reason), sys.stdout, indent=4, taken=4)}")
    if not document["running"]:
        typer.echo("No service runs; start it with: python -m file_watcher run")
    typer.echo(f"Catalog   {document['catalog']}")
    outbox = document["outbox"]
    age = f", the oldest for {duration_text(outbox['oldest_seconds'])}" if outbox["waiting"] else ""
    typer.echo(f"To send   {counted(outbox['waiting'], 'message')}{age}")
    if last := document["last_event"]:
        typer.echo(f"Last      {last['event_type']} {escape_for_terminal(last['path'])} ({_fate(last)})")
    for error in document["errors"]:
        typer.echo(f"Error     {error['time']} {escape_for_terminal(_error_words(error))}")
    if document["errors"]:
        typer.echo("          `log --level error` shows all about errors")
    if document["libraries"]:
        _show_libraries(document["libraries"])


def _fate(last: Mapping[str, Any]) -> str:
    if last["unrouted"]:
        return "no queue wanted it"
    return "confirmed" if last["confirmed"] else "not confirmed yet"


def _error_words(error: Mapping[str, Any]) -> str:
    about = f" ({error['library']})" if error["library"] else ""
    return f"{error['event']}{about} on {error['instance_id']}"


def _instance_line(instance: Mapping[str, Any]) -> str:
    name = escape_for_terminal(instance["instance_id"])
    where = escape_for_terminal(
        f"process {instance['pid']} on {instance['host']}, version {instance['version']}"
    )
    age = duration_text(instance["heartbeat_seconds"])
    if not instance["alive"]:
        return f"{name} is DEAD: its last heartbeat is {age} old; it was {where}"
    words = {True: "is ready", False: "is NOT ready", None: "runs (its pages cannot be asked from here)"}
    late = f", last heartbeat {age} ago" if instance["heartbeat_seconds"] > _LATE_SECONDS else ""
    return f"{name} {words[instance['ready']]}: {where}, http {instance['http'] or 'off'}{late}"


def _show_libraries(libraries: Sequence[Mapping[str, Any]]) -> None:
    """Who owns a library, and how many rules it has, only where there is something to tell."""
    from file_watcher.cli.tables import print_table

    with_owners = any(library["owner"] for library in libraries)
    with_rules = any(library["rules"] for library in libraries)
    headings: list[Heading] = ["library", "state", *(["owner"] if with_owners else []), "folder"]
    headings += [("rules", "right")] if with_rules else []
    headings += [("files", "right"), ("size", "right")]
    rows = [
        [
            library["name"] or f"#{library['id']}",
            _state(library),
            *([library["owner"] or "nobody"] if with_owners else []),
            library["path"],
            *([str(len(library["rules"]) or "–")] if with_rules else []),
            f"{library['files']:,}",
            size_text(library["size"]),
        ]
        for library in libraries
    ]
    print_table(headings, rows)


def _state(library: Mapping[str, Any]) -> str:
    state = library["state"] or "to be watched"
    if state == "active" and not library["is_watched"]:
        state = "not watched"
    if state in {"active", "suspended"} and not library["first_scan_done"]:
        state = f"{state}, not scanned yet"
    return f"{state} ({library['reason']})" if library["reason"] else state
