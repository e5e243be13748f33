"""What each format can hold: `python -m tests.tag_table` prints a table in Markdown.

Every file is written for it by the real ffmpeg and by mutagen, and read by the product's tag reader in its
child processes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.tag_children import submit, tag_reader
from tests.support.tagged_media import FIELDS, make_tagged
from tests.support.tones import ENCODINGS

Told = Mapping[tuple[str, str], Mapping[str, str]]
"""Writer and extension → the tags that were read back."""


def read_back(folder: Path) -> Told:
    """Write all files into the folder and read them."""
    paths = make_tagged(folder)
    with tag_reader(processes=2) as reader:
        futures = {key: submit(reader, path) for key, path in paths.items()}
        found = {key: future.result(60) for key, future in futures.items()}
    return {key: metadata["tags"] for key, metadata in found.items() if metadata is not None}


def rows(told: Told) -> list[list[str]]:
    """A line for each field: `f` where ffmpeg's value came back equal, `m` where mutagen's did."""
    lines = [["field", *ENCODINGS], ["---"] * (len(ENCODINGS) + 1)]
    for name, value in FIELDS.items():
        cells = [
            " ".join(
                writer[0] for writer in ("ffmpeg", "mutagen") if told[writer, extension].get(name) == value
            )
            for extension in ENCODINGS
        ]
        lines.append([name, *(cell or "–" for cell in cells)])
    return lines


def main() -> int:
    """Print the table, and what came back as something else."""
    with tempfile.TemporaryDirectory(prefix="fw-tags-") as folder:
        told = read_back(Path(folder))
    for line in rows(told):
        print("| " + " | ".join(line) + " |")
    for (writer, extension), tags in told.items():
        for name, value in tags.items():
            if FIELDS.get(name) != value:
                print(f"\n{extension} by {writer}: {name} came back as {value!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
