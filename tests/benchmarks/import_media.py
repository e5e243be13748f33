"""Imports of tagged files, small and large, beside what hashing and reading tags alone would take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import media_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import Ideal, Import, measure_ideal, run_import
from tests.benchmarks.trials import in_turn


def measure_songs(bench: Bench, runs: int) -> list[Figure]:
    """2,000 files of about 0.7 MB."""
    return [_measure(bench, runs, "import-songs", bench.count(2_000, least=600), 700_000, 0.5)]


def measure_albums(bench: Bench, runs: int) -> list[Figure]:
    """200 files of about 8 MB."""
    return [_measure(bench, runs, "import-albums", bench.count(200, least=100), 8_000_000, 0.8)]


def _measure(bench: Bench, runs: int, row: str, count: int, size: int, limit: float) -> Figure:
    with bench.folder(row) as folder:
        root = folder / "library"
        paths = media_library(root, count, size)
        megabytes = sum(path.stat().st_size for path in paths) / 1e6 / count
        imports: list[Import] = []
        ideals: list[Ideal] = []
        trials = in_turn(_rate(bench, root, count, imports), _best(bench, paths, ideals), runs)
    what = f"{count:,} tagged files of {megabytes:.2g} MB, from the first to the last confirm"
    facts = {
        "hash_seconds_of_one_thread": median(ideal.hash_seconds for ideal in ideals),
        "tag_seconds_of_one_thread": median(ideal.tag_seconds for ideal in ideals),
        "seconds_to_first": median(done.first_seconds for done in imports),
        "seconds_to_last": median(done.total_seconds for done in imports),
    }
    against = f"(hash + tags of one thread) / {bench.cores} cores"
    return Figure(row, what, "files/s", limit, "at least", trials, against, facts)


def _rate(bench: Bench, root: Path, count: int, imports: list[Import]) -> Callable[[], float]:
    def measure() -> float:
        imports.append(run_import(bench, root, count, tagged=True))
        return imports[-1].files_per_second

    return measure


def _best(bench: Bench, paths: list[Path], ideals: list[Ideal]) -> Callable[[], float]:
    def measure() -> float:
        ideals.append(measure_ideal(paths))
        return ideals[-1].files_per_second(len(paths), bench.cores)

    return measure
