"""`python -m tests.benchmarks [names] [--json FILE] [--repeat N]`: measure and print a table.

Every figure is a ratio to something measured in the same run. Nothing is asserted about speed: the exit
code is 0 whatever the figures are, and the table says which limits were kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks import hashing, import_media, import_trees, publishing, standing
from tests.benchmarks.bench import Bench, running_bench
from tests.benchmarks.figure import Figure, median, spread, table

ROWS: Final[dict[str, Callable[[Bench], list[Figure]]]] = {
    "hash": hashing.measure,
    "import-albums": import_media.measure_albums,
    "import-songs": import_media.measure_songs,
    "import-trees": import_trees.measure,
    "publisher": publishing.measure,
    "standing": standing.measure,
}
"""Name on the command line → what measures it. `standing` gives two rows: rescan and ready."""


def main() -> int:
    """Run the named benchmarks, all where none is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="measure N times, take the median")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ROWS):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_bench() as bench:
        figures = _measure(bench, arguments.names or list(ROWS), arguments.repeat)
    print(table(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_document(figures), indent=2) + "\n")
    return 0


def _measure(bench: Bench, names: Sequence[str], repeat: int) -> list[Figure]:
    figures = []
    for name in names:
        runs = []
        for number in range(1, repeat + 1):
            print(f"{name}: run {number} of {repeat}", file=sys.stderr, flush=True)
            runs.append(ROWS[name](bench))
        for same in zip(*runs, strict=True):
            figure = median(same)
            _tell(figure, spread(same) if repeat > 1 else None)
            figures.append(figure)
    return figures


def _tell(figure: Figure, apart: float | None) -> None:
    facts = ", ".join(f"{name} {value:.3g}" for name, value in figure.facts.items())
    scatter = "" if apart is None else f", runs {apart:.0%} apart"
    print(f"  {figure.row}: {figure.ratio:.2f}{scatter} {facts}".rstrip(), file=sys.stderr, flush=True)


def _document(figures: Sequence[Figure]) -> dict[str, object]:
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    return {"machine": machine, "figures": [figure.as_json() for figure in figures]}


if __name__ == "__main__":
    sys.exit(main())
