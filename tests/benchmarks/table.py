"""Figures as text for a terminal of 80 columns. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from tests.benchmarks.figure import Figure

COLUMNS: Final = 80
_HEADING: Final = ("row", "measured", "ideal", "ratio", "limit", "met")
_GAP: Final = "  "


def table(figures: Sequence[Figure], failures: Mapping[str, str]) -> str:
    """One line a row, then what each row means; what failed has a reason instead of numbers."""
    lines = [_HEADING, *(_cells(figure) for figure in figures)]
    lines += [(name, "FAILED", "", "", "", "NO") for name in failures]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_line(line, widths) for line in lines]
    text.insert(1, "-" * len(max(text, key=len)))
    return "\n".join([*text, "", *(_note(figure) for figure in figures), *_reasons(failures)])


def _cells(figure: Figure) -> tuple[str, ...]:
    middle, ratio = figure.middle, figure.ratio
    sign = "≥" if figure.sense == "at least" else "≤"
    return (
        figure.row,
        amount(middle.value, figure.unit),
        "–" if middle.ideal is None else amount(middle.ideal, figure.unit),
        "–" if ratio is None else f"{ratio:.2f}",
        f"{sign} {figure.limit:g}" + ("" if ratio is not None else f" {figure.unit}"),
        "yes" if figure.is_met else "NO",
    )


def amount(value: float, unit: str) -> str:
    """Three digits that count; all of those before the point."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(
        cell.ljust(width) if number in (0, len(cells) - 1) else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _note(figure: Figure) -> str:
    parts = [figure.what]
    if figure.against:
        parts.append(f"against {figure.against}")
    if len(figure.trials) > 1:
        parts.append(f"{len(figure.trials)} runs, {figure.scatter:.0%} apart")
    parts += [f"{name.replace('_', ' ')} {value:,.4g}" for name, value in figure.facts.items()]
    return textwrap.fill(
        f"{figure.row}: {'; '.join(parts)}", COLUMNS, subsequent_indent="  ", break_on_hyphens=False
    )


def _reasons(failures: Mapping[str, str]) -> list[str]:
    return [f"{name} FAILED: {reason}" for name, reason in failures.items()]
