"""Several instances on one broker: what they reach together, and that none of them starves.

Each has an INSTANCE_ID, a library, a catalog and an exchange of its own. All are ready, with nothing to do,
when their libraries are filled at the same moment, each by the move of one folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from tests.benchmarks.arithmetic import fairness
from tests.benchmarks.bench import Bench, settle_disk
from tests.benchmarks.chart import Chart, Panel, curve
from tests.benchmarks.corpus import json_library
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.trust import require, require_alive
from tests.support.waiting import wait_for

COUNTS: Final = (2, 4, 8, 20)
_FILES_IN_ALL: Final = 20_000
_LEAST_FILES: Final = 200
_PATIENCE_SECONDS: Final = 600.0
_LAST_CONFIRM: Final = "SELECT max(published_ns) FROM fw_events WHERE event_type = 'created'"
_SETTINGS: Final = {"FILE_WATCH_PATTERNS": "*.json"}


def measure(bench: Bench, runs: int) -> Chart:
    """20,000 small files in all, however many instances share them."""
    totals: dict[float, list[float]] = {}
    slowest: dict[float, list[float]] = {}
    fastest: dict[float, list[float]] = {}
    even: dict[float, list[float]] = {}
    for count in COUNTS:
        for _ in range(runs):
            total, each = _run(bench, count)
            totals.setdefault(count, []).append(total)
            slowest.setdefault(count, []).append(min(each))
            fastest.setdefault(count, []).append(max(each))
            even.setdefault(count, []).append(fairness(each))
    return Chart(
        "instances",
        f"Instances on one broker, {bench.cores} cores in all",
        (
            Panel(
                "files/s from the filling of the libraries to the last confirm",
                "instances",
                "counts",
                "files/s",
                (
                    curve("all together", totals),
                    curve("the fastest one", fastest),
                    curve("the slowest one", slowest),
                ),
            ),
            Panel(
                "how evenly they share (Jain's index of their rates)",
                "instances",
                "counts",
                "1: all alike",
                (curve("fairness", even),),
                from_zero=True,
            ),
        ),
        f"JSON files, {bench.count(_FILES_IN_ALL):,} in all; every file of every instance was told once; runs: {runs}",
    )


def _run(bench: Bench, count: int) -> tuple[float, list[float]]:
    """Files per second of all together, and of each."""
    files = max(bench.count(_FILES_IN_ALL) // count, _LEAST_FILES)
    with bench.folder("instances") as folder, ExitStack() as stack:
        tried = [_started(bench, stack, folder, number, files) for number in range(count)]
        settle_disk()
        began_ns = time.time_ns()
        for each in tried:
            (each.root.parent / "prepared").rename(each.root / "filled")
        _wait(tried, files)
        ends_ns = [int(each.ask(_LAST_CONFIRM)[0][0]) for each in tried]
    rates = [files / (end_ns - began_ns) * 1e9 for end_ns in ends_ns]
    return files * count / (max(ends_ns) - began_ns) * 1e9, rates


def _started(bench: Bench, stack: ExitStack, folder: Path, number: int, files: int) -> Subject:
    place = folder / str(number)
    root = place / "library"
    root.mkdir(parents=True)
    json_library(place / "prepared", files)
    tried = stack.enter_context(subject(bench, root, _SETTINGS, instance_id=f"bench-{number}"))
    tried.start_ready()
    return tried


def _wait(tried: Sequence[Subject], files: int) -> None:
    """Until every instance has told all of its files. Raises `Untrue` where one told anything else."""
    for each in tried:
        name = each.service.environment["INSTANCE_ID"]
        wait_for(partial(_has_told, each, files), f"the messages of {name}", _PATIENCE_SECONDS, 0.2)
    for each in tried:
        wait_for(partial(_has_recorded, each, files), "the record of the confirms")
        require(each.queued() == files, f"{files} files gave {each.queued()} messages")
        each.require_imported(files, tagged=False)


def _has_told(tried: Subject, files: int) -> bool:
    return require_alive(tried.service) and tried.queued() >= files


def _has_recorded(tried: Subject, files: int) -> bool:
    return tried.confirmed() >= files
