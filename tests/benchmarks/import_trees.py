"""Import of many small files without tags, beside the publisher alone with as many messages."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import json_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import run_import
from tests.benchmarks.publishing import publisher_alone

_FILES: Final = 5_000


def measure(bench: Bench) -> list[Figure]:
    """5,000 JSON files of a few hundred bytes."""
    with bench.folder("import-trees") as folder:
        root = folder / "library"
        json_library(root, _FILES)
        done = run_import(bench, root, _FILES, FILE_WATCH_PATTERNS="*.json")
    alone = publisher_alone(bench, _FILES)
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
