"""What the process and its children use, read from /proc when somebody scrapes.

The children parse tags, so the service's true cost is the sum. Owns no thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_AFTER_NAME: Final = 3
"""proc(5) numbers the fields of `stat` from 1; what follows the name in brackets begins with field 3."""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """One process. CPU includes the children that it has already waited for, so the sum over a tree rises."""

    cpu_seconds: float
    resident_bytes: int
    threads: int
    open_files: int
    start_ticks: int


class ProcessTreeCollector(Collector):
    """Yields process_* summed over this process and all that descend from it.

    Where there is no /proc (it is Linux's) nothing is yielded. Resident memory counts pages that
    processes share once for each. A child that ends while it is read is left out.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        """Read /proc: about 0.1 ms a process."""
        own = self._usage(os.getpid())
        if own is None:
            return
        usages = [own, *(usage for pid in self._descendants(os.getpid()) if (usage := self._usage(pid)))]
        yield CounterMetricFamily(
            "process_cpu_seconds", "CPU time, children included.", sum(each.cpu_seconds for each in usages)
        )
        yield from (
            GaugeMetricFamily(f"process_{name}", f"{text}, children included.", value)
            for name, text, value in (
                ("resident_memory_bytes", "Resident memory", sum(each.resident_bytes for each in usages)),
                ("threads", "Threads", sum(each.threads for each in usages)),
                ("open_fds", "Open file descriptors", sum(each.open_files for each in usages)),
                ("processes", "Processes", len(usages)),
            )
        )
        if (started := self._start_seconds(own)) is not None:
            yield GaugeMetricFamily("process_start_time_seconds", "Start, since the epoch.", started)

    def _usage(self, pid: int) -> ProcessUsage | None:
        folder = self._proc / str(pid)
        try:
            fields = _stat_fields(folder / "stat")
            open_files = len(os.listdir(folder / "fd"))
        except OSError:
            return None  # it ended, or belongs to somebody else

        def field(number: int) -> int:
            return int(fields[number - _AFTER_NAME])

        return ProcessUsage(
            cpu_seconds=sum(field(number) for number in range(14, 18)) / os.sysconf("SC_CLK_TCK"),
            resident_bytes=field(24) * os.sysconf("SC_PAGE_SIZE"),
            threads=field(20),
            open_files=open_files,
            start_ticks=field(22),
        )

    def _descendants(self, pid: int) -> Iterator[int]:
        """Children belong to the thread that started them, so every thread's list is read."""
        for listing in self._proc.glob(f"{pid}/task/*/children"):
            try:
                children = [int(child) for child in listing.read_bytes().split()]
            except OSError:
                continue  # the thread ended
            for child in children:
                yield child
                yield from self._descendants(child)

    def _start_seconds(self, own: ProcessUsage) -> float | None:
        for line in (self._proc / "stat").read_bytes().splitlines():
            if line.startswith(b"btime "):
                return int(line.split()[1]) + own.start_ticks / os.sysconf("SC_CLK_TCK")
        return None


def _stat_fields(path: Path) -> list[bytes]:
    # The name may hold spaces and brackets; the last bracket ends it.
    return path.read_bytes().rpartition(b")")[2].split()
