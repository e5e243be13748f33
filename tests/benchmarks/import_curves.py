"""Rate of an import by size of file and by number of worker threads, on one picture."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.chart import Chart, Panel, curve
from tests.benchmarks.corpus import sized_library
from tests.benchmarks.importing import measure_ideal, run_import

_SIZES: Final = tuple(1 << power for power in range(12, 27, 2))
"""4 KiB to 64 MiB."""
_THREADS: Final = (1, 2, 4, 8)
_SIZES_BY_THREADS: Final = (16 << 10, 1 << 20, 8 << 20)
_MOST_FILES: Final = 2_000
_LEAST_FILES: Final = ((1 << 20, 1_000), (8 << 20, 400), (64 << 20, 32))
"""Up to a size: so many that their confirms are not all recorded together, nor much is hashed before the first one."""
_BYTES_IN_ALL: Final = 1 << 30

Runs = dict[float, list[float]]


def measure(bench: Bench, runs: int) -> Chart:
    """Tagged MP3 files of exactly each size; the library of a size is made once and imported in each run."""
    rates, ideals = _by_size(bench, runs)
    by_threads = {size: _by_threads(bench, size, runs) for size in _SIZES_BY_THREADS}
    megabytes = {size: [rate * size / 1e6 for rate in found] for size, found in rates.items()}
    best = {size: [rate * size / 1e6 for rate in found] for size, found in ideals.items()}
    label, ideal = "import, service and broker", f"ideal: (hash + tags of one thread) / {bench.cores} cores"
    return Chart(
        "import-rates",
        "Import of tagged MP3 files",
        (
            Panel(
                "files by size",
                "size of a file",
                "bytes",
                "files/s",
                (curve(label, rates), curve(ideal, ideals, "ideal")),
            ),
            Panel(
                "bytes by size",
                "size of a file",
                "bytes",
                "MB/s",
                (curve(label, megabytes), curve(ideal, best, "ideal")),
            ),
            Panel(
                "files by worker threads",
                "worker threads (scan_workers)",
                "counts",
                "files/s",
                tuple(curve(f"files of {_size(size)}", found) for size, found in by_threads.items()),
            ),
        ),
        f"{bench.cores} cores, which the broker shares; first to last confirm; page cache; runs: {runs}",
    )


def _by_size(bench: Bench, runs: int) -> tuple[Runs, Runs]:
    """Files per second, and what would be ideal; both of the same files."""
    rates: Runs = defaultdict(list)
    ideals: Runs = defaultdict(list)
    for size in _SIZES:
        with bench.folder("sizes") as folder:
            count = _count(bench, size)
            paths = sized_library(folder / "library", count, size)
            for _ in range(runs):
                ideals[size].append(measure_ideal(paths).files_per_second(count, bench.cores))
                done = run_import(bench, folder / "library", count, tagged=True)
                rates[size].append(done.files_per_second)
    return rates, ideals


def _by_threads(bench: Bench, size: int, runs: int) -> Runs:
    rates: Runs = defaultdict(list)
    with bench.folder("threads") as folder:
        count = _count(bench, size)
        sized_library(folder / "library", count, size)
        for _ in range(runs):
            for threads in _THREADS:
                workers = {"FILE_WATCH_SCAN_WORKERS": str(threads)}
                done = run_import(bench, folder / "library", count, tagged=True, **workers)
                rates[threads].append(done.files_per_second)
    return rates


def _count(bench: Bench, size: int) -> int:
    files = min(_MOST_FILES, _BYTES_IN_ALL // size)
    least = next(count for largest, count in _LEAST_FILES if size <= largest)
    return max(bench.count(files), least)


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
