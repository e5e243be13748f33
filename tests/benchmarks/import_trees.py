"""Import of many small files without tags, beside the publisher alone with as many messages."""

from __future__ import annotations

from statistics import median
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import json_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import run_import
from tests.benchmarks.publishing import publisher_alone

_FILES: Final = 5_000
_RUNS_ALONE: Final = 3
"""So few messages take less than a second, and the broker is not equally quick each time."""


def measure(bench: Bench) -> list[Figure]:
    """5,000 JSON files of a few hundred bytes."""
    with bench.folder("import-trees") as folder:
        root = folder / "library"
        json_library(root, _FILES)
        done = run_import(bench, root, _FILES, FILE_WATCH_PATTERNS="*.json")
    alone = median(publisher_alone(bench, _FILES) for _ in range(_RUNS_ALONE))
    facts = {"seconds_to_first": done.first_seconds, "seconds_to_last": done.total_seconds}
    return [
        Figure(
            "import-trees",
            done.files_per_second,
            alone,
            "files/s",
            0.5,
            "at least",
            "the publisher alone",
            facts,
        )
    ]
