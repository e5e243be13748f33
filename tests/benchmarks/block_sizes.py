"""Dual hash by block size and by number of threads, beside OpenSSL's SHA-256 alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.chart import Chart, Curve, Panel, curve
from tests.benchmarks.hashing import dual_hash_rate, openssl_rate, random_file

_BLOCKS: Final = tuple(1 << power for power in range(14, 24))
"""16 KiB to 8 MiB."""
_FILE_BYTES: Final = 128 << 20
_READINGS: Final = 8
"""Of a file, over all threads: as many bytes whatever the number of threads is."""


def measure(bench: Bench, runs: int) -> Chart:
    """Every block size with one thread, one for each core, and twice as many; each run goes through all."""
    counts = sorted({1, bench.cores, 2 * bench.cores})
    rates: dict[int, dict[float, list[float]]] = {count: defaultdict(list) for count in counts}
    ideals: dict[int, list[float]] = {count: [] for count in counts[:2]}
    with bench.folder("blocks") as folder:
        size = bench.count(_FILE_BYTES, least=1 << 20)
        paths = [random_file(folder / str(number), size) for number in range(_READINGS)]
        dual_hash_rate(paths, bench.cores)
        for _ in range(runs):
            for threads, found in ideals.items():
                found.append(openssl_rate(threads, seconds=1) / 1e9)
            for block in _BLOCKS:
                for threads, by_block in rates.items():
                    by_block[block].append(dual_hash_rate(paths, threads, block) / 1e9)
    return Chart("hash-block-sizes", "Hashing by size of block", (_panel(rates, ideals),), _note(runs))


def _panel(rates: dict[int, dict[float, list[float]]], ideals: dict[int, list[float]]) -> Panel:
    measured = [curve(_threads(count), by_block) for count, by_block in rates.items()]
    return Panel(
        "SHA-256 and XXH128 in one pass; files in the page cache",
        "size of a block",
        "bytes",
        "GB/s",
        (
            *measured,
            *(_flat(f"openssl, SHA-256 alone, {_threads(count)}", found) for count, found in ideals.items()),
        ),
        from_zero=True,
    )


def _flat(label: str, found: list[float]) -> Curve:
    return curve(label, dict.fromkeys((_BLOCKS[0], _BLOCKS[-1]), found), "ideal")


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _note(runs: int) -> str:
    return "" if runs == 1 else f"median of {runs} runs; the band spans all of them"
