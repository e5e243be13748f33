"""`migrate`: make or upgrade the catalog's schema, or say how it stands; `--undo` is `undoing`. Owns no thread."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, MISUSED, WRONG, complain
from file_watcher.cli.options import Given
from file_watcher.cli.places import catalog_url
from file_watcher.cli.undoing import take_back
from file_watcher.errors import UsageError
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json
from file_watcher.settings import prepare_state_folder

if TYPE_CHECKING:
    from file_watcher.catalog.schema import SchemaReport


def migrate(
    given: Given,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing, and tell. Exit code 0: current; 1: `migrate` would make or upgrade it; "
            "2: somebody has to mend something first, and what.",
        ),
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo",
            help="Take everything back that `migrate` made, with the catalog and all messages that were not sent "
            "yet; what belongs to another application stays. Refused while a service runs, and without --yes.",
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="STEP", help="With --undo: only back to this step, such as 0003."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --undo: yes, that catalog, and all that goes with it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make or upgrade the catalog's schema. `run` does it by itself."""
    if check and undo:
        raise UsageError("--check and --undo exclude one another")
    if to is not None and not undo:
        raise UsageError("--to goes with --undo")
    if yes and not undo:
        raise UsageError("--yes goes with --undo")
    url = catalog_url(given.load().settings)
    if check:
        return _look(url, as_json=as_json)
    if undo:
        words, document = take_back(url, to, is_meant=yes)
        _tell(words, document, as_json=as_json)
        return FINE
    return _migrate(url, as_json=as_json)


def _migrate(url: str, *, as_json: bool) -> int:
    from file_watcher.catalog import schema
    from file_watcher.catalog.database import Database

    with closing(Database(url)) as database:
        if database.path is not None:
            prepare_state_folder(database.path.parent)
        database.open()
        before = schema.report(database).state
        schema.migrate(database)
        notices = schema.install_notices(database)
        shown = database.shown
    done = {"current": "was current already", "empty": "is made", "older": "is upgraded"}
    _tell(
        f"The schema of {shown} {done.get(before or '', 'is current')}.",
        {"database": shown, "before": before, "state": "current", "notices": notices},
        as_json=as_json,
    )
    return FINE


def _look(url: str, *, as_json: bool) -> int:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.schema import report

    with closing(Database(url)) as database:
        if database.path is not None and not os.path.lexists(database.path):  # opening would make the file
            return _show_missing(database.shown, as_json=as_json)
        database.open()
        found = report(database)
        shown = database.shown
    if as_json:
        document = {"database": shown, **asdict(found)}
        document["notices"] = document.pop("has_notices")
        _print_json(document)
    else:
        _show(shown, found)
    if found.obstacles or found.state in {None, "newer"}:
        return MISUSED
    return FINE if found.state == "current" else WRONG


def _show_missing(shown: str, *, as_json: bool) -> int:
    from file_watcher.catalog.schema import REVISIONS

    if as_json:
        nothing: dict[str, Any] = {"adds": [], "obstacles": [], "notices": False}
        _print_json({"database": shown, "state": "empty", "found": None, "wanted": REVISIONS[-1], **nothing})
    else:
        complain(f"The schema of {shown} {_WORDS['empty']}")
    return WRONG


_WORDS = {
    "empty": "is not made yet: `migrate` or the next `run` makes it",
    "older": "is older than this version: `migrate` or the next `run` upgrades it",
    "newer": "is newer than this version knows: install the newer file_watcher, or set DATABASE_URL",
}


def _show(shown: str, found: SchemaReport) -> None:
    if found.state == "current":
        how = "" if found.has_notices else "; changes of settings are looked for, since it has no triggers"
        typer.echo(f"The schema of {escape_for_terminal(shown)} is current ({found.found}{how}).")
    elif found.state is not None:
        complain(f"The schema of {shown} {_WORDS[found.state]}")
    if found.adds:
        typer.echo(f"From {found.found or 'nothing'} to {found.wanted}:")
    for line in found.adds:
        typer.echo(f"  {escape_for_terminal(line)}")
    complain(*(str(obstacle) for obstacle in found.obstacles))


def _tell(words: str, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(document)
    else:
        typer.echo(escape_for_terminal(words))


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False, indent=2)))
