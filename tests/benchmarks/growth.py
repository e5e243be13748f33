"""What 1,000 to 500,000 files cost: import, rescan, start-up and memory. Linear is what it should be.

Each size has a folder, a catalog and processes of its own. The queue keeps the newest messages only, so that
the broker's memory does not grow with the library; what was confirmed is counted in the service's catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from tests.benchmarks.arithmetic import growth_exponent
from tests.benchmarks.bench import Bench, settle_disk, timed
from tests.benchmarks.catalogued import rescan
from tests.benchmarks.chart import Chart, Curve, Panel, curve
from tests.benchmarks.corpus import tiny_library
from tests.benchmarks.processes import Usage
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.trust import require, require_alive
from tests.support.waiting import wait_for

SIZES: Final = (1_000, 10_000, 100_000, 500_000)
_MESSAGES_KEPT: Final = 1_000
_SLOWEST_FILES_PER_SECOND: Final = 200
"""Slower than this the run is given up."""
_COUNTS_A_LOOK: Final = 250_000
"""Rows that are counted for a look at how far it is: one look takes about a hundredth of the time between two."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one size. Seconds, and MB of resident memory of all processes (`peak_mb`: of the main one)."""

    files: int
    import_seconds: float
    rescan_seconds: float
    start_seconds: float
    imported_mb: float
    peak_mb: float
    started_mb: float


def cost_of(bench: Bench, files: int) -> Cost:
    """Import, rescan, stop, start again until ready. Raises `Untrue` where a file was not told exactly once."""
    with bench.folder("growth") as folder:
        root = folder / "library"
        tiny_library(root, files)
        settle_disk()
        with subject(bench, root, {"FILE_WATCH_PATTERNS": "*.json"}, keep=_MESSAGES_KEPT) as tried:
            importing = _import(tried, files)
            usage = Usage(tried.pid)
            usage.settle()
            imported, peak = usage.resident(), usage.peak()
            tried.require_imported(files, tagged=False)
            scanning = rescan(tried, files)
            code = tried.service.stop()
            require(code == 0, f"the service ended with {code}:\n{tried.service.tail()}")
            starting, _ = timed(tried.start_ready)
            usage = Usage(tried.pid)
            usage.settle()
            started = usage.resident()
            tried.require_imported(files, tagged=False)
    return Cost(files, importing, scanning, starting, imported / 1e6, peak / 1e6, started / 1e6)


def _import(tried: Subject, files: int) -> float:
    """Seconds from the process's start to the last confirm."""
    started_ns = time.time_ns()
    tried.service.start()
    wait_for(
        lambda: require_alive(tried.service) and tried.confirmed() >= files,
        f"{files} confirms",
        60 + files / _SLOWEST_FILES_PER_SECOND,
        max(0.1, files / _COUNTS_A_LOOK),
    )
    last_ns = int(tried.ask("SELECT max(published_ns) FROM fw_events WHERE event_type = 'created'")[0][0])
    return (last_ns - started_ns) / 1e9


def chart(costs: Sequence[Cost], cores: int) -> Chart:
    """Both panels with logarithmic axes."""
    return Chart(
        "growth",
        "Cost by number of files",
        (
            Panel(
                "time",
                "files",
                "numbers",
                "seconds",
                (
                    _curve("import, from start to last confirm", costs, lambda cost: cost.import_seconds),
                    _curve("rescan, nothing changed", costs, lambda cost: cost.rescan_seconds),
                    _curve("start until ready, all catalogued", costs, lambda cost: cost.start_seconds),
                ),
                has_slope_one=True,
            ),
            Panel(
                "memory of the service",
                "files",
                "numbers",
                "MB resident",
                (
                    _curve("peak of the main process", costs, lambda cost: cost.peak_mb),
                    _curve("after the import, all processes", costs, lambda cost: cost.imported_mb),
                    _curve("after a start, all processes", costs, lambda cost: cost.started_mb),
                ),
                has_slope_one=True,
            ),
        ),
        f"files of a few bytes, 20 in a folder; {cores} cores, which the broker shares",
    )


def exponents(costs: Sequence[Cost]) -> dict[str, float]:
    """How each cost grows between the two largest sizes: 1 is linear. Empty with fewer than two sizes."""
    if len(costs) < 2:
        return {}
    names = [name for name in asdict(costs[0]) if name != "files"]
    return {name: growth_exponent([(cost.files, asdict(cost)[name]) for cost in costs]) for name in names}


def _curve(label: str, costs: Sequence[Cost], value: Callable[[Cost], float]) -> Curve:
    runs: Mapping[float, Sequence[float]] = {cost.files: [value(cost)] for cost in costs}
    return curve(label, runs)
