"""`python -m tests.benchmarks.curves [names]`: measure what a table cannot show, and draw it.

Each chart is written as JSON, SVG and PNG into the folder; `python -m tests.benchmarks.picture` draws it anew
from its JSON. The exit code is 1 where a chart could not be measured.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import block_sizes, document, growth, import_curves, instances
from tests.benchmarks.bench import Bench, running_bench
from tests.benchmarks.chart import Chart
from tests.benchmarks.picture import draw

FOLDER: Final = Path("build/benchmarks")
CHARTS: Final[dict[str, Callable[[Bench, int], Chart]]] = {
    "block-sizes": block_sizes.measure,
    "import-rates": import_curves.measure,
    "instances": instances.measure,
}
GROWTH: Final = "growth"
"""Takes long, so it is measured only where it is named."""


def main() -> int:
    """Measure the named charts, all but the growth where none is named."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = False
    with running_bench(arguments.scale) as bench:
        for name in arguments.names or list(CHARTS):
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                if name == GROWTH:
                    _grow(bench, arguments.folder, arguments.sizes)
                else:
                    _write(bench, arguments.folder, CHARTS[name](bench, arguments.repeat), {})
            except Exception:  # one chart that fails does not cost the others
                traceback.print_exc()
                failed = True
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.curves", description=__doc__)
    names = [*CHARTS, GROWTH]
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(names)}; all but {GROWTH} where none is named"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where to write (default {FOLDER})")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of each point (default 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the real size, for a trial")
    parser.add_argument(
        "--sizes", type=_sizes, default=growth.SIZES, help="files of the growth, e.g. 1000,10000,100000"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no chart is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if arguments.repeat < 1:
        parser.error("--repeat takes a whole number from 1")
    if not 0 < arguments.scale <= 1:
        parser.error("--scale takes a number above 0 and at most 1")
    return arguments


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(size.replace("_", "")) for size in text.split(",")))


def _grow(bench: Bench, folder: Path, sizes: Sequence[int]) -> None:
    """Write and draw after each size, so that an interrupted run leaves what it has."""
    costs: list[growth.Cost] = []
    for size in sizes:
        costs.append(growth.cost_of(bench, size))
        told = ", ".join(f"{name} {value:,.3g}" for name, value in asdict(costs[-1]).items())
        print(f"  {told}", file=sys.stderr, flush=True)
        facts = {"costs": [asdict(cost) for cost in costs], "exponents": growth.exponents(costs)}
        _write(bench, folder, growth.chart(costs, bench.cores), facts)
    for name, exponent in growth.exponents(costs).items():
        print(f"  {name} grows with the power {exponent:.2f} of the number of files")


def _write(bench: Bench, folder: Path, chart: Chart, facts: dict[str, Any]) -> None:
    path = folder / f"{chart.name}.json"
    document.write(path, document.document(bench.scale, {"charts": [chart.as_json()], **facts}))
    for drawn in (path, *draw(chart, folder)):
        print(drawn, flush=True)


if __name__ == "__main__":
    sys.exit(main())
