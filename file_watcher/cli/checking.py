"""`check`: what would go wrong when the service runs, and the exact mend. Changes nothing.

One check after the other on the caller's thread; each gives its findings at once, and one that fails leaves
the others to be done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, WRONG
from file_watcher.cli.findings import Finding, Mark, ok, problem, show, verdict, warning, worst
from file_watcher.cli.in_use import in_use
from file_watcher.cli.options import Given
from file_watcher.cli.places import catalog_url
from file_watcher.errors import CatalogUnavailable, FileWatcherError
from file_watcher.ops.sanitize import escape_in_json
from file_watcher.settings import Loaded, Settings, option_table, prepare_state_folder, state_folder

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database

_ANSWER_SECONDS: Final = 2.0


def check(given: Given, *, as_json: AsJson = False) -> int:
    """Say what would go wrong, and how to mend it; changes nothing.

    Looks at configuration, state folder, catalog, broker, folders, inotify limits and HTTP address. Exit
    code 1 where there is a problem, 2 where the configuration cannot be used.
    """
    findings: list[Finding] = []
    for finding in _findings(given):
        findings.append(finding)
        if not as_json:
            show(finding)
    if as_json:
        document = [asdict(finding) for finding in findings]
        typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False, indent=2)))
    else:
        typer.echo(verdict(findings))
    return WRONG if worst(findings) is Mark.PROBLEM else FINE


def _findings(given: Given) -> Iterator[Finding]:
    from file_watcher.cli.checking_broker import check_broker
    from file_watcher.cli.checking_folders import check_folders

    loaded, away = _with_rows(given, given.load())
    yield from _check_configuration(loaded)
    yield from _check_state_folder(loaded)
    if away is None:
        yield from _check_catalog(loaded)
    else:  # asked again, it would only be waited for again
        yield problem(
            "catalog", f"{away.problem.rstrip('.')}; settings that it holds are not known here", away.mend
        )
    running = in_use(loaded.settings) if away is None else None
    yield from check_broker(loaded, running)
    yield from check_folders(loaded, running)
    yield from _check_http(loaded)


def _check_configuration(loaded: Loaded) -> Iterator[Finding]:
    """Where the settings that are no defaults come from. Values are not shown: some are secret."""
    by_origin: dict[str, list[str]] = {}
    for info in option_table():
        origin = loaded.origins[info.toml]
        by_origin.setdefault(origin, []).append(_name_in(origin, info.option, info.environment[0], info.toml))
    by_origin.pop("default", None)
    file = f"file {loaded.config_file}" if loaded.config_file is not None else "no file"
    yield ok("configuration", f"{file}; {'settings given' if by_origin else 'all settings are defaults'}")
    for origin, names in by_origin.items():
        yield ok(f"configuration, {origin}", ", ".join(names))
    for line in loaded.warnings:
        yield warning("configuration", line)


def _name_in(origin: str, option: str, variable: str, key: str) -> str:
    return {"option": option, "environment": variable}.get(origin, key)


def _check_state_folder(loaded: Loaded) -> Iterator[Finding]:
    folder = _state_folder(loaded.settings)
    if folder is None:
        return
    if not folder.exists():
        yield _creatable(folder)
        return
    try:
        prepare_state_folder(folder)
    except FileWatcherError as exc:
        yield problem("state folder", str(exc))
    else:
        yield ok("state folder", f"{folder} can be written to")


def _state_folder(settings: Settings) -> Path | None:
    """Where the catalog's file or our name would be kept; None where neither is kept in a folder."""
    from file_watcher.catalog.database import Database

    file = Database(catalog_url(settings)).path
    if file is not None:
        return file.parent
    return state_folder(os.environ) if settings.instance_id is None else None


def _creatable(folder: Path) -> Finding:
    """Not made here: a check that root runs would leave root's folder to the service's user."""
    existing = next(parent for parent in folder.parents if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ok("state folder", f"{folder} will be made at the first run")
    mend = f"let this user write to {existing}, or set XDG_STATE_HOME or DATABASE_URL to another place"
    return problem("state folder", f"{folder} is not there and cannot be made", mend)


def _check_catalog(loaded: Loaded) -> Iterator[Finding]:
    from file_watcher.catalog.database import Database

    try:
        database = Database(catalog_url(loaded.settings))
        if database.path is not None and not database.path.exists():
            yield ok("catalog", f"{database.shown} will be made at the first run")
            return
        try:
            database.open()
            yield from _judge_schema(database)
        finally:
            database.close()
    except FileWatcherError as exc:
        yield problem("catalog", exc.problem, exc.mend)


def _judge_schema(database: Database) -> Iterator[Finding]:
    from file_watcher.catalog.owner import is_owned
    from file_watcher.catalog.schema import report

    found = report(database)
    if found.state == "newer":
        mend = "install that version again, or set DATABASE_URL to another database"
        yield problem("catalog", f"{database.shown} has the schema of a newer file_watcher", mend)
        return
    for obstacle in found.obstacles:
        how = None if obstacle.statement is None else f"let {obstacle.who} run: {obstacle.statement}"
        yield problem("catalog", obstacle.problem, how)
    words = {"current": "is current", "older": "will be upgraded at the next start", "empty": "will be made"}
    if not found.obstacles:
        yield ok("catalog", f"{database.shown} answers; its schema {words[str(found.state)]}")
    if found.state == "current" and not found.obstacles and not found.has_notices:
        detail = (
            "no triggers tell of changed libraries and settings, so they are looked for every few seconds"
        )
        yield ok("catalog", detail)
    owner = None if database.path is None else is_owned(database.path)
    if owner is not None:
        by = f" (process {owner})" if owner else ""
        yield ok("service", f"one runs with this catalog{by}; a second would be refused")


def _check_http(loaded: Loaded) -> Iterator[Finding]:
    from file_watcher.cli.addresses import is_free, shown
    from file_watcher.ops.health import ask

    address = loaded.settings.http_addr
    if address is None:
        yield warning("http", "WATCHER_HTTP_ADDR is off: no /healthz, /readyz and /metrics")
        return
    reason = is_free(address)
    if reason is None:
        yield ok("http", f"{shown(address)} is free")
        return
    try:
        status, document = ask(address, "/healthz", _ANSWER_SECONDS)
    except FileWatcherError:
        mend = "choose another address, for example WATCHER_HTTP_ADDR=127.0.0.1:8086"
        yield problem("http", f"{shown(address)} cannot be used: {reason}", mend)
        return
    who = f"file_watcher {document.get('instance_id')}"
    if status == HTTPStatus.OK:
        yield ok("http", f"{shown(address)} is served by {who}")
    else:
        yield problem(
            "http", f"{shown(address)} is served by {who}, which is not healthy", "its log says why"
        )


def _with_rows(given: Given, loaded: Loaded) -> tuple[Loaded, CatalogUnavailable | None]:
    """The settings with the database's rows, where they can be read, and why it does not answer, where it does not.

    What else is wrong with it the catalog's own check tells.
    """
    from file_watcher.cli.places import runtime_rows

    try:
        return given.load(runtime_rows(catalog_url(loaded.settings))), None
    except CatalogUnavailable as exc:
        return loaded, exc
    except FileWatcherError:
        return loaded, None
