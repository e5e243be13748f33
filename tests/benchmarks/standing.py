"""100,000 files that are catalogued already: how soon the service is ready, and what a rescan costs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.catalogued import PER_FOLDER, catalogued, catalogued_library, rescan
from tests.benchmarks.figure import Figure, Trial
from tests.benchmarks.processes import Usage
from tests.benchmarks.subject import Subject
from tests.benchmarks.trials import in_turn

FILES: Final = 100_000


def measure(bench: Bench, runs: int) -> list[Figure]:
    """Each run starts the service anew and has it scan again."""
    files = bench.count(FILES, least=1_000)
    ready: list[Trial] = []
    scans: list[Trial] = []
    growths: list[float] = []
    with catalogued_library(bench, files) as (root, paths):
        find_seconds(root)
        for _ in range(runs):
            with catalogued(bench, root, paths) as tried:
                ready.append(Trial(timed(tried.start_ready)[0]))
                scans += in_turn(lambda: _rescan(tried, files, growths), lambda: find_seconds(root), 1)
    what = f"{files:,} unchanged files in {files // PER_FOLDER:,} folders"
    facts = {"peak_memory_growth_MB": median(growths)}
    against = "find -printf of size, times, device and inode"
    return [
        Figure("rescan", what, "s", 3, "at most", tuple(scans), against, facts),
        Figure("ready", f"{what}, from the process's start to /readyz", "s", 2, "at most", tuple(ready)),
    ]


def find_seconds(root: Path) -> float:
    """How long find(1) needs for the stat of every file; the better of two, each after the other."""
    command = ["find", str(root), "-type", "f", "-printf", r"%p %s %T@ %C@ %D %i\n"]
    return min(
        timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))[0] for _ in range(2)
    )


def _rescan(tried: Subject, files: int, growths: list[float]) -> float:
    usage = Usage(tried.pid)
    usage.settle()
    usage.forget_peak()
    before = usage.main_resident()
    seconds = rescan(tried, files)
    growths.append((usage.peak() - before) / 1e6)
    return seconds
