"""What `check` found, and how it is shown. Pure; owns no thread."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import typer

from file_watcher.cli.folding import folded
from file_watcher.ops.log import wants_color
from file_watcher.ops.sanitize import escape_for_terminal


class Mark(StrEnum):
    """How bad a finding is. Only a problem makes `check` fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what it is like, and what to do where it is not well."""

    mark: Mark
    subject: str
    detail: str
    mend: str | None = None


def ok(subject: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(Mark.OK, subject, detail)


def warning(subject: str, detail: str, mend: str | None = None) -> Finding:
    """Works, but perhaps not as somebody expects."""
    return Finding(Mark.WARNING, subject, detail, mend)


def problem(subject: str, detail: str, mend: str | None = None) -> Finding:
    """Would go wrong."""
    return Finding(Mark.PROBLEM, subject, detail, mend)


_SIGNS: Final = {Mark.OK: ("ok", "32"), Mark.WARNING: ("warning", "33"), Mark.PROBLEM: ("PROBLEM", "31")}
"""Word and SGR parameters (ECMA-48, section 8.3.117)."""


_INDENT: Final = 9
"""Columns before what is said."""


def show(finding: Finding) -> None:
    """Print a finding; the mend stands below it."""
    word, parameters = _SIGNS[finding.mark]
    sign = word.ljust(_INDENT - 1)
    if wants_color(sys.stdout):
        sign = f"\x1b[{parameters}m{sign}\x1b[0m"
    said = escape_for_terminal(f"{finding.subject}: {finding.detail}")
    typer.echo(f"{sign} {folded(said, sys.stdout, _INDENT, taken=_INDENT)}")
    if finding.mend is not None:
        mend = folded(escape_for_terminal(finding.mend), sys.stdout, _INDENT + 4, taken=_INDENT + 4)
        typer.echo(f"{'':{_INDENT}}  → {mend}")


def verdict(findings: Iterable[Finding]) -> str:
    """The last line."""
    marks = [finding.mark for finding in findings]
    problems, warnings = marks.count(Mark.PROBLEM), marks.count(Mark.WARNING)
    if not problems and not warnings:
        return "Everything is well."
    return f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}."


def worst(findings: Sequence[Finding]) -> Mark:
    """The worst mark of all; ok where there is none."""
    marks = {finding.mark for finding in findings}
    return next((mark for mark in (Mark.PROBLEM, Mark.WARNING) if mark in marks), Mark.OK)


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
