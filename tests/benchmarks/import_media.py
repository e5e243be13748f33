"""Imports of tagged files, small and large, beside what hashing and reading tags alone would take."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import media_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import measure_ideal, run_import


def measure_songs(bench: Bench) -> list[Figure]:
    """2,000 files of about 0.7 MB."""
    return [_measure(bench, "import-songs", 2_000, 700_000, 0.5)]


def measure_albums(bench: Bench) -> list[Figure]:
    """200 files of about 8 MB."""
    return [_measure(bench, "import-albums", 200, 8_000_000, 0.8)]


def _measure(bench: Bench, row: str, count: int, size: int, limit: float) -> Figure:
    with bench.folder(row) as folder:
        root = folder / "library"
        paths = media_library(root, count, size)
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        ideal = measure_ideal(paths)
        done = run_import(bench, Path(root), count)
    facts = {
        "megabytes_per_file": megabytes / count,
        "hash_seconds_of_one_thread": ideal.hash_seconds,
        "tag_seconds_of_one_thread": ideal.tag_seconds,
        "seconds_to_first": done.first_seconds,
        "seconds_to_last": done.total_seconds,
    }
    best = ideal.files_per_second(count, bench.cores)
    against = f"(hash + tags of one thread) / {bench.cores} cores"
    return Figure(row, done.files_per_second, best, "files/s", limit, "at least", against, facts)
