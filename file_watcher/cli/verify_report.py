"""What `verify` prints: each file that is wrong as it is found, and a summary. Owns no thread."""

from __future__ import annotations

import base64
import json
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from file_watcher.cli.figures import counted, duration_text, size_text
from file_watcher.cli.folding import folded
from file_watcher.cli.progress import ByteBar
from file_watcher.cli.verify_place import Place
from file_watcher.model import Fingerprint, Library, display
from file_watcher.ops.log import is_terminal, wants_color
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json
from file_watcher.ops.terminal import DEFAULT_COLUMNS
from file_watcher.processing.integrity import DAMAGE, Verdict

if TYPE_CHECKING:
    from file_watcher.verification import Finding

_QUIET: Final = frozenset({Verdict.INTACT, Verdict.UNHASHED})
"""Not told file by file, not even as JSON."""

_WORDS: Final[Mapping[Verdict, str]] = {
    Verdict.CORRUPT: "other bytes, though size and times are the same: restore it from a backup",
    Verdict.ALTERED: "other bytes behind the same size and mtime, but ctime is newer: "
    "`scan` tells it where that was meant; else restore it",
    Verdict.UNREADABLE: "could not be read: allow it, or look after the disk",
    Verdict.CHANGED: "changed, not told yet: the service tells it, or `scan`",
    Verdict.MISSING: "gone, not told yet: the service tells it, or `scan`",
    Verdict.UNHASHED: "without hashes in the catalog, so nothing to compare with: they still grow, could not be "
    "read, or their library has `hashing` none",
}


class Report:
    """Prints for a person, or as one JSON document a line for a program."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._bar = ByteBar()

    def beside(self, bar: ByteBar) -> None:
        """From now on a bar stands where lines are printed."""
        self._bar = bar

    def goes_on(self, place: Place, total: int) -> None:
        """An earlier run was stopped here; what it had found is told again, so that the result is whole."""
        if is_terminal(sys.stderr):
            words = f"Going on where it was stopped, {_share(place, total)}; --restart begins anew"
            typer.echo(folded(words, sys.stderr, indent=2), err=True)
        for damage in place.damage:
            self._print(damage)

    def finding(self, library: Library, finding: Finding) -> dict[str, Any] | None:
        """Print what is to be told at once; returns it where it is damage."""
        verdict = finding.verdict
        is_damage = verdict in DAMAGE
        if verdict in _QUIET or not (is_damage or self._as_json):
            return None
        document = _document(library, finding)
        self._print(document)
        return document if is_damage else None

    def stopped(self, place: Place, total: int) -> None:
        """It was interrupted."""
        words = f"Stopped {_share(place, total)}; the same command goes on there"
        typer.echo(folded(words, sys.stderr, indent=2), err=True)

    def summary(self, place: Place) -> bool:
        """Print the last words; returns whether anything is damaged."""
        damaged = sum(place.counts[verdict] for verdict in DAMAGE)
        if self._as_json:
            counts = {str(verdict): place.counts[verdict] for verdict in Verdict}
            facts = {"files": place.files, "bytes": place.size, "seconds": round(place.seconds, 1)}
            typer.echo(json.dumps({"summary": {**facts, **counts}}))
            return damaged > 0
        rate = f", {size_text(place.size / place.seconds)}/s" if place.seconds >= 1 else ""
        intact = f"{place.counts[Verdict.INTACT]:,} of {counted(place.files, 'file')}"
        verb = "is" if place.files == 1 else "are"
        took = f"{place.seconds:.1f} s" if place.seconds < 60 else duration_text(place.seconds)
        typer.echo(f"{intact} {verb} intact ({size_text(place.size)} in {took}{rate}).")
        for verdict, words in _WORDS.items():
            if count := place.counts[verdict]:
                line = f"{count:>7,} {verdict:<10} {words}"
                typer.echo(textwrap.fill(line, DEFAULT_COLUMNS, subsequent_indent=" " * 19))
        return damaged > 0

    def _print(self, document: Mapping[str, Any]) -> None:
        self._bar.give_way()
        if self._as_json:
            typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False)))
            return
        word = str(document["verdict"]).upper().ljust(10)
        if wants_color(sys.stdout):
            word = f"\x1b[31m{word}\x1b[0m"
        detail = f"  ({document['detail']})" if document["detail"] else ""
        typer.echo(f"{word}  {escape_for_terminal(document['path'])}{detail}")


def _share(place: Place, total: int) -> str:
    share = 100 * min(place.size / total, 1.0) if total else 100.0
    return f"after {counted(place.files, 'file')} ({share:.0f}% of the bytes)"


def _document(library: Library, finding: Finding) -> dict[str, Any]:
    row = finding.row
    document: dict[str, Any] = {
        "verdict": str(finding.verdict),
        "path": display(row.path),
        "library": library.name,
        "size": row.stat.size,
        "expected": _hashes(row.fingerprint),
        "found": _hashes(finding.found),
        "detail": finding.detail,
    }
    if row.path != display(row.path).encode():
        document["path_base64"] = base64.b64encode(row.path).decode("ascii")
    return document


def _hashes(fingerprint: Fingerprint | None) -> dict[str, str] | None:
    if fingerprint is None:
        return None
    return {"sha256_hash": fingerprint.sha256.hex(), "xxh128_hash": fingerprint.xxh128.hex()}
