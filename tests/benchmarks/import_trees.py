"""Import of many small files without tags, beside the publisher alone with as many messages."""

from __future__ import annotations

from statistics import median
from typing import Final

from tests.benchmarks.bare_import import bare_import
from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import json_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import Import, run_import
from tests.benchmarks.publishing import publisher_alone
from tests.benchmarks.trials import in_turn

_FILES: Final = 5_000
_RUNS_ALONE: Final = 3
"""So few messages take less than a second, and the broker is not equally quick each time."""


def measure(bench: Bench, runs: int) -> list[Figure]:
    """5,000 JSON files of a few hundred bytes."""
    files = bench.count(_FILES, least=500)
    imports: list[Import] = []
    bare: list[float] = []

    def rate() -> float:
        bare.append(bare_import(bench, root, files))
        imports.append(run_import(bench, root, files, tagged=False, FILE_WATCH_PATTERNS="*.json"))
        return imports[-1].files_per_second

    def alone() -> float:
        return median(publisher_alone(bench, files) for _ in range(_RUNS_ALONE))

    with bench.folder("import-trees") as folder:
        root = folder / "library"
        json_library(root, files)
        trials = in_turn(rate, alone, runs)
    facts = {
        "seconds_to_first": median(done.first_seconds for done in imports),
        "seconds_to_last": median(done.total_seconds for done in imports),
        "files_per_second_if_nothing_were_decided": median(bare),
    }
    what = f"{files:,} JSON files without tags, from the first to the last confirm"
    against = "the publisher alone with as many messages"
    return [Figure("import-trees", what, "files/s", 0.5, "at least", trials, against, facts)]
