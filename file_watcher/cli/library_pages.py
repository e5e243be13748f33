"""How libraries are shown: a table, a page about one of them, or JSON. Owns no thread; reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from file_watcher.cli.figures import counted, size_text
from file_watcher.cli.tables import print_table
from file_watcher.ops.sanitize import escape_for_terminal

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.overview import LibraryOverview
    from file_watcher.catalog.steering import LibraryRow


def documents(database: Database, rows: Sequence[LibraryRow]) -> list[dict[str, Any]]:
    """All that is known of these libraries. Counting the files of a large catalog takes a moment."""
    from file_watcher.catalog.overview import overview

    seen = {library.id: library for library in overview(database).libraries}
    return [_document(row, seen.get(row.id)) for row in rows]


def _document(row: LibraryRow, seen: LibraryOverview | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "path": row.path,
        "type": row.type,
        "is_watched": row.is_watched,
        "from_environment_of": sorted(row.origins),
        "state": None if seen is None else seen.state,
        "reason": None if seen is None else seen.reason,
        "first_scan_done": seen is not None and seen.first_scan_done,
        "owner": None if seen is None else seen.owner,
        "files": 0 if seen is None else seen.files,
        "size": 0 if seen is None else seen.size,
        "rules": dict(row.rules),
    }


def show_table(libraries: Sequence[Mapping[str, Any]]) -> None:
    """One library a row."""
    if not libraries:
        typer.echo("There is no library yet; add one with: library add FOLDER")
        return
    rows = [
        (
            f"{library['id']}",
            library["name"] or "(no name)",
            library["type"],
            state_words(library),
            str(len(library["rules"]) or "–"),
            library["path"],
        )
        for library in libraries
    ]
    print_table((("#", "right"), "library", "type", "state", ("rules", "right"), "folder"), rows)


def show_page(library: Mapping[str, Any]) -> None:
    """All about one library."""
    lines = {
        "Library": f"{library['name'] or '(no name)'} (#{library['id']})",
        "Folder": library["path"],
        "Type": library["type"],
        "State": state_words(library),
        "From": origin_words(library["from_environment_of"]),
        "Owner": library["owner"],
        "Holds": f"{counted(library['files'], 'file')}, {size_text(library['size'])}",
    }
    for heading, value in lines.items():
        if value:
            typer.echo(f"{heading:<9} {escape_for_terminal(value)}")
    rules = library["rules"]
    typer.echo(
        f"{'Rules':<9} {'none of its own; the settings of all libraries hold' if not rules else ''}".rstrip()
    )
    for key, value in sorted(rules.items()):
        typer.echo(f"  {escape_for_terminal(key)} = {escape_for_terminal(value)}")


def state_words(library: Mapping[str, Any]) -> str:
    """How it is kept, for people."""
    if not library["is_watched"]:
        return "not watched"
    state = library["state"]
    if state in {None, "unwatched"}:
        return "to be watched"
    if state == "suspended":
        return f"suspended ({library['reason'] or 'no reason is recorded'})"
    return "watched" if library["first_scan_done"] else "watched, not scanned yet"


def origin_words(instances: Sequence[str]) -> str:
    """Where it comes from."""
    if not instances:
        return "the table libraries"
    return f"the environment, options or file of {', '.join(instances)}"
