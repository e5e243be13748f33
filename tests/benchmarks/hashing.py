"""Dual hash in one pass, as many threads as cores, beside OpenSSL's own benchmark of SHA-256 alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from file_watcher.processing.fingerprint import Fingerprinter
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.figure import Figure
from tests.support.processes import ServerMissing

_FILE_BYTES: Final = 256 << 20
_ROUNDS: Final = 8


def measure(bench: Bench) -> list[Figure]:
    """Bytes per second over files that lie in the page cache, each thread on a file of its own."""
    with bench.folder("hashing") as folder:
        paths = [_random_file(folder / str(number)) for number in range(bench.cores)]
        hasher = Fingerprinter(lambda: False)
        hasher.read(paths[0])
        with ThreadPoolExecutor(bench.cores) as pool:
            seconds, _ = timed(lambda: list(pool.map(hasher.read, paths * _ROUNDS)))
    ours = len(paths) * _ROUNDS * _FILE_BYTES / seconds
    theirs = _openssl(bench.cores)
    return [
        Figure(
            "hash",
            ours / 1e9,
            theirs / 1e9,
            "GB/s",
            0.8,
            "at least",
            f"openssl speed -multi {bench.cores} -evp sha256 -bytes 1048576",
        )
    ]


def _random_file(path: Path) -> bytes:
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(_FILE_BYTES >> 20):
            file.write(block)
    return os.fsencode(path)


def _openssl(threads: int) -> float:
    """Bytes per second, of its wall time."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ServerMissing("openssl is missing: apt-get install openssl")
    command = [openssl, "speed", "-elapsed", "-multi", str(threads)]
    command += ["-evp", "sha256", "-bytes", "1048576", "-seconds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    name, speed = done.stdout.splitlines()[-1].split()
    assert name == "sha256"
    return float(speed.removesuffix("k")) * 1000
