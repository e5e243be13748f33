"""Sentences for people, broken between words where a terminal would break them anywhere. Owns no thread."""

from __future__ import annotations

import shutil
import textwrap
from typing import Final, TextIO

from file_watcher.ops.log import is_terminal

_LEAST: Final = 40
"""Columns below which breaking between words helps nobody any more."""


def folded(text: str, stream: TextIO, indent: int, taken: int = 0) -> str:
    """The text in lines that fit, all but the first indented; as it is where the stream is no terminal.

    Then a line stays a line, for whoever searches them. Words (paths, above all) are never broken. `taken` are the
    columns that stand before the text in its first line.
    """
    columns = shutil.get_terminal_size().columns
    if not is_terminal(stream) or columns < _LEAST:
        return text
    lines = textwrap.wrap(
        text,
        columns,
        initial_indent=" " * taken,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[taken:]
