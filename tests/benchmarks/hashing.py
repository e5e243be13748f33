"""Dual hash in one pass, as many threads as cores, beside OpenSSL's own benchmark of SHA-256 alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from file_watcher.processing.fingerprint import BLOCK_SIZE, Fingerprinter
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.figure import Figure
from tests.benchmarks.trials import in_turn
from tests.benchmarks.trust import require
from tests.support.processes import ServerMissing

_FILE_BYTES: Final = 256 << 20
_ROUNDS: Final = 8


def measure(bench: Bench, runs: int) -> list[Figure]:
    """Bytes per second over files that lie in the page cache, each thread on a file of its own."""
    with bench.folder("hashing") as folder:
        size = bench.count(_FILE_BYTES, least=1 << 20)
        paths = [random_file(folder / str(number), size) for number in range(bench.cores)]
        dual_hash_rate(paths, bench.cores)
        trials = in_turn(
            lambda: dual_hash_rate(paths * _ROUNDS, bench.cores) / 1e9,
            lambda: openssl_rate(bench.cores) / 1e9,
            runs,
        )
    what = f"SHA-256 and XXH128 in one pass, {bench.cores} threads, page cache"
    against = f"openssl speed -multi {bench.cores} -evp sha256 -bytes 1048576"
    return [Figure("hash", what, "GB/s", 0.8, "at least", trials, against)]


def random_file(path: Path, size: int) -> bytes:
    """A file of random MiBs, all alike; returns its path."""
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
        file.write(block[: size % len(block)])
    return os.fsencode(path)


def dual_hash_rate(paths: Sequence[bytes], threads: int, block_size: int = BLOCK_SIZE) -> float:
    """Bytes per second of our own reading, with so many threads. Raises `Untrue` where hashes differ
    between readings of one file."""
    hasher = Fingerprinter(lambda: False, block_size)
    with ThreadPoolExecutor(threads) as pool:
        seconds, readings = timed(lambda: list(pool.map(hasher.read, paths)))
    prints = {(path, reading.fingerprint) for path, reading in zip(paths, readings, strict=True)}
    require(len(prints) == len(set(paths)), "two readings of one file gave different hashes")
    return sum(reading.stat.size for reading in readings) / seconds


def openssl_rate(threads: int, seconds: int = 2) -> float:
    """Bytes per second of wall time that OpenSSL's own benchmark of SHA-256 reaches. Blocks that long."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ServerMissing("openssl is missing: apt-get install openssl")
    command = [openssl, "speed", "-elapsed", "-multi", str(threads)]
    command += ["-evp", "sha256", "-bytes", "1048576", "-seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    name, speed = done.stdout.splitlines()[-1].split()
    require(name == "sha256" and speed.endswith("k"), f"openssl said {done.stdout.splitlines()[-1]!r}")
    return float(speed.removesuffix("k")) * 1000
