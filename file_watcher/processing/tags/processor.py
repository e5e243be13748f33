"""What the system says of a child process: the time that it has had of a processor, and whether it was stopped.

No thread. Reads /proc, and finds nothing where there is none (macOS, Windows): then only the clock on the wall
tells how long a file takes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATE, _USER, _SYSTEM = 0, 11, 12
"""Places of state, utime and stime in /proc/<pid>/stat, counted behind the program's name (proc(5))."""
_STOPPED: Final = frozenset({b"T", b"t"})


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """`seconds` of processor time since its start (to 10 ms); `is_stopped` by a signal or a debugger."""

    seconds: float
    is_stopped: bool


def processor_use(pid: int) -> ProcessorUse | None:
    """How the process is; None where that cannot be known. Does not block."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it has ended, which its pipe tells; or there is no such file on this system
        return None
    # The name stands in parentheses and may hold any of them itself.
    fields = text[text.rfind(b")") + 1 :].split()
    ticks = int(fields[_USER]) + int(fields[_SYSTEM])
    return ProcessorUse(ticks / os.sysconf("SC_CLK_TCK"), fields[_STATE] in _STOPPED)
