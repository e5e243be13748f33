"""`duplicates`: files of the same content, and what they waste. Reads the catalog alone.

Everything runs on the caller's thread.
"""

from __future__ import annotations

import base64
import heapq
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE
from file_watcher.cli.figures import counted, size_text
from file_watcher.cli.narrowing import LibraryName, chosen_libraries
from file_watcher.cli.options import Given
from file_watcher.errors import UsageError
from file_watcher.model import display
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json
from file_watcher.settings.quantities import read_size

if TYPE_CHECKING:
    from file_watcher.catalog.duplicates import Duplicates, Group, Member

_GROUPS: Final = 20
"""Shown where nothing says how many."""
_FILES: Final = 10
"""Files of a group that a person is shown; programs get all."""

_Most = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        min=0,
        metavar="N",
        help=f"Only the N groups that waste most; 0 for all, largest files first. Else {_GROUPS}, with --json all.",
        show_default=False,
    ),
]
_MinSize = Annotated[str, typer.Option(metavar="SIZE", help="Only files of at least this size, such as 1MB.")]


@dataclass(slots=True)
class Total:
    """Of all groups, also of those that are not shown. `unhashed` files could not be compared."""

    unhashed: int = 0
    groups: int = 0
    files: int = 0
    wasted: int = 0

    def counting(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The groups, counted as they pass."""
        for group in groups:
            self.groups += 1
            self.files += group.files
            self.wasted += group.wasted
            yield group


def duplicates(
    given: Given,
    library: LibraryName = None,
    *,
    limit: _Most = None,
    min_size: _MinSize = "1B",
    as_json: AsJson = False,
) -> int:
    """Show files of the same content, and what their copies waste.

    As the catalog has them: no file is read. Hard links of one file waste nothing. With --json each line is one
    group, and the last line the total.
    """
    from file_watcher.catalog.duplicates import Duplicates
    from file_watcher.cli.catalogs import read_catalog

    settings = given.load().settings
    smallest = _size(min_size)
    most = limit if limit is not None else (0 if as_json else _GROUPS)
    with read_catalog(settings) as database:
        chosen = None if library is None else chosen_libraries(database, library)[0].library.id
        found = Duplicates(database, library_id=chosen, min_size=smallest)
        total = Total(found.unhashed())
        shown = total.counting(group for group in found.groups() if group.copies > 1)
        if most:
            shown = iter(heapq.nlargest(most, shown, key=lambda group: group.wasted))
        for group in shown:
            (_print_json if as_json else _print)(group, found)
    _print_total(total, most, as_json=as_json)
    return FINE


def _size(text: str) -> int:
    try:
        return read_size(text)
    except ValueError as exc:
        raise UsageError(f"--min-size {text!r} is no size; such as 500kB, 1MB or 2GiB") from exc


def _print(group: Group, found: Duplicates) -> None:
    links = group.files - group.copies
    note = f", and {counted(links, 'hard link')}" if links else ""
    typer.echo(
        f"{size_text(group.wasted)} wasted: {group.copies} copies of {size_text(group.size)}{note} "
        f"({group.sha256.hex()[:12]}…)"
    )
    for member in islice(found.members(group), _FILES):
        typer.echo(f"  {escape_for_terminal(display(member.path))}")
    if group.files > _FILES:
        typer.echo(f"  … and {group.files - _FILES:,} more (--json lists all)")


def _print_json(group: Group, found: Duplicates) -> None:
    """Written piece by piece: a group may have any number of files."""
    head = {
        "size": group.size,
        "wasted_bytes": group.wasted,
        "count": group.files,
        "copies": group.copies,
        "sha256_hash": group.sha256.hex(),
    }
    sys.stdout.write(f'{json.dumps(head)[:-1]}, "files": [')
    for number, member in enumerate(found.members(group)):
        text = json.dumps(_document(member), ensure_ascii=False)
        sys.stdout.write(f"{', ' if number else ''}{escape_in_json(text)}")
    sys.stdout.write("]}\n")


def _document(member: Member) -> dict[str, Any]:
    document: dict[str, Any] = {"path": display(member.path), "library": member.library}
    if member.path != display(member.path).encode():
        document["path_base64"] = base64.b64encode(member.path).decode("ascii")
    return document


def _print_total(total: Total, most: int, *, as_json: bool) -> None:
    if as_json:
        document = {
            "groups": total.groups,
            "files": total.files,
            "wasted_bytes": total.wasted,
            "unhashed": total.unhashed,
        }
        typer.echo(json.dumps({"total": document}))
        return
    if total.unhashed:
        verb = "was" if total.unhashed == 1 else "were"
        typer.echo(
            f"{counted(total.unhashed, 'file')} {verb} not compared: the catalog has no hashes of them, since they "
            "still grow, could not be read, or their library has `hashing` none."
        )
    if not total.groups:
        known = (
            "No file of the catalog has a copy." if not total.unhashed else "None of the others has a copy."
        )
        typer.echo(known)
        return
    hidden = total.groups - most if most else 0
    verb = "is" if hidden == 1 else "are"
    rest = f"; {counted(hidden, 'more group')} {verb} not shown (--limit 0: all)" if hidden > 0 else ""
    typer.echo(
        f"{counted(total.groups, 'group')} of {counted(total.files, 'file')} "
        f"{'wastes' if total.groups == 1 else 'waste'} {size_text(total.wasted)}{rest}."
    )
