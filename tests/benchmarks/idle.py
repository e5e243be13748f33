"""What the service costs while nothing happens: processor time, and memory on top of an empty library's.

Both are those of all its processes. The empty library and the full one run one after the other, never at
the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.catalogued import catalogued, catalogued_library
from tests.benchmarks.figure import Figure, Trial
from tests.benchmarks.processes import Usage
from tests.benchmarks.standing import FILES

_SPAN_SECONDS: Final = 30.0
"""The kernel counts processor time in 10 ms: 0.03% of a core over 30 s."""
_LEAST_SPAN_SECONDS: Final = 3.0


def measure(bench: Bench, runs: int) -> list[Figure]:
    """Two rows of the same runs: share of a core in percent, kB for each 1,000 files."""
    files = bench.count(FILES, least=1_000)
    span = max(_SPAN_SECONDS * min(bench.scale, 1), _LEAST_SPAN_SECONDS)
    shares: list[Trial] = []
    kilobytes: list[Trial] = []
    empties: list[float] = []
    with bench.folder("empty") as empty, catalogued_library(bench, files) as (root, paths):
        for _ in range(runs):
            empties.append(_empty_bytes(bench, empty))
            share, resident = _idle(bench, root, paths, span)
            shares.append(Trial(share * 100))
            kilobytes.append(Trial((resident - empties[-1]) / 1000 / (files / 1000)))
    what = f"{files:,} catalogued files, no change"
    return [
        Figure("idle-cpu", f"{what}, over {span:g} s; of one core", "%", 0.5, "at most", tuple(shares)),
        Figure(
            "idle-memory",
            f"{what}, for each 1,000 files on top of an empty library",
            "kB",
            50,
            "at most",
            tuple(kilobytes),
            facts={"MB_with_an_empty_library": median(empties) / 1e6},
        ),
    ]


def _empty_bytes(bench: Bench, root: Path) -> float:
    with catalogued(bench, root, []) as tried:
        tried.start_ready()
        usage = Usage(tried.pid)
        usage.settle()
        return usage.resident()


def _idle(bench: Bench, root: Path, paths: Sequence[bytes], span: float) -> tuple[float, float]:
    """Share of a core over the span, and resident bytes at its end."""
    with catalogued(bench, root, paths) as tried:
        tried.start_ready()
        usage = Usage(tried.pid)
        usage.settle()
        share = usage.share(span)
        return share, usage.resident()
