"""Tables for people, as wide as their terminal. Owns no thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from file_watcher.ops.sanitize import escape_for_terminal

Heading = str | tuple[str, Literal["left", "right"]]


def print_table(headings: Sequence[Heading], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows. Control characters of names are shown, never obeyed; long cells are folded.

    Columns that stand on the right hold numbers and are never folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        name, side = heading if isinstance(heading, tuple) else (heading, "left")
        table.add_column(name, justify=side, overflow="fold", no_wrap=side == "right")
    for row in rows:
        table.add_row(*(Text(escape_for_terminal(cell)) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)
