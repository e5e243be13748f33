"""Memory and processor time of the service, its children included, from /proc. Linux only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.trust import Untrue
from tests.support.waiting import wait_for

_QUIET_SHARE: Final = 0.02
_QUIET_SPAN_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 120.0
_RESET_PEAK: Final = "5"


class Usage:
    """One running process and all that it started."""

    def __init__(self, pid: int) -> None:
        self._main = psutil.Process(pid)
        self._folder = Path(f"/proc/{pid}")

    def processor_seconds(self) -> float:
        """User and system time of all of them so far; the kernel counts in hundredths of a second."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._all()))

    def resident(self) -> int:
        """Bytes of resident memory of all of them; what they share counts for each."""
        return sum(each.memory_info().rss for each in self._all())

    def forget_peak(self) -> None:
        """Let `peak` begin anew (proc(5): clear_refs)."""
        (self._folder / "clear_refs").write_text(_RESET_PEAK)

    def peak(self) -> int:
        """The most bytes that the main process had resident, since its start or `forget_peak`."""
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise Untrue("the kernel tells no peak of memory")

    def main_resident(self) -> int:
        """Bytes of resident memory of the main process alone."""
        return int(self._main.memory_info().rss)

    def share(self, seconds: float) -> float:
        """The share of one core that all of them use during the next `seconds`; blocks that long."""
        before = self.processor_seconds()
        psutil.cpu_percent(seconds)
        return (self.processor_seconds() - before) / seconds

    def settle(self) -> None:
        """Wait until they use less than 2% of a core for a second, so that starting or importing is over."""
        wait_for(
            lambda: self.share(_QUIET_SPAN_SECONDS) < _QUIET_SHARE, "the service to be idle", _SETTLE_SECONDS
        )

    def _all(self) -> list[psutil.Process]:
        return [self._main, *self._main.children(recursive=True)]
