"""`python -m tests.benchmarks [rows] [--json FILE] [--repeat N]`: measure each row and print a table.

Most figures are ratios to something measured in the same run, in turn with it. Nothing is asserted about
speed: the exit code is 0 whatever the figures are, and the table says which limits were met. It is 1 where a
row could not be measured, or what was measured is not what the row says.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks import (
    document,
    hashing,
    hinting,
    idle,
    import_media,
    import_trees,
    latency,
    publishing,
    standing,
)
from tests.benchmarks.bench import Bench, running_bench
from tests.benchmarks.figure import Figure
from tests.benchmarks.table import table

ROWS: Final[dict[str, Callable[[Bench, int], list[Figure]]]] = {
    "hash": hashing.measure,
    "import-albums": import_media.measure_albums,
    "import-songs": import_media.measure_songs,
    "import-trees": import_trees.measure,
    "publisher": publishing.measure,
    "standing": standing.measure,
    "idle": idle.measure,
    "latency": latency.measure,
    "hints": hinting.measure,
}
"""Name on the command line → what measures it. `standing` gives two rows, rescan and ready; `idle` two, too."""


def main() -> int:
    """Run the named benchmarks, all where none is named."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failures: dict[str, str] = {}
    with running_bench(arguments.scale) as bench:
        figures = _measure(bench, arguments.names or list(ROWS), arguments.repeat, failures)
    print(table(figures, failures))
    if arguments.scale != 1:
        print(f"\nA trial at {arguments.scale:g} of the real size: these figures say nothing about speed.")
    if arguments.json is not None:
        rows = [figure.as_json() for figure in figures]
        document.write(arguments.json, document.document(arguments.scale, {"rows": rows, "failed": failures}))
        print(f"\nwritten to {arguments.json}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N", help="runs of each row; the median counts (default 3)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="a part of the real size, to try the benchmarks themselves"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ROWS):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if arguments.repeat < 1:
        parser.error("--repeat takes a whole number from 1")
    if not 0 < arguments.scale <= 1:
        parser.error("--scale takes a number above 0 and at most 1")
    return arguments


def _measure(bench: Bench, names: Sequence[str], runs: int, failures: dict[str, str]) -> list[Figure]:
    figures = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            measured = ROWS[name](bench, runs)
        except Exception as exc:  # one row that fails does not cost the others
            traceback.print_exc()
            failures[name] = str(exc) or type(exc).__name__
            continue
        for figure in measured:
            held = "met" if figure.is_met else "NOT MET"
            print(f"  {figure.row}: {figure.middle.held:.3g}, {held}", file=sys.stderr, flush=True)
        figures += measured
    return figures


if __name__ == "__main__":
    sys.exit(main())
