"""What a test may leave behind: nothing. Threads, child processes and file descriptors are compared."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.support.waiting import wait_for

_GRACE_SECONDS = 5.0
"""A joined thread or a reaped child is gone at once; what was only asked to end gets this long."""

_STANDARD_STREAMS = {"0", "1", "2"}
"""pytest points them elsewhere while it captures, and back when somebody interrupts it."""

_FOR_LIFE = "multiprocessing.resource_tracker"
"""The process of the standard library that, once started, serves its parent for life."""


@dataclass(frozen=True)
class Belongings:
    """What this process holds at one moment; each thing described so that a person recognises it."""

    threads: frozenset[str]
    children: frozenset[str]
    descriptors: frozenset[str]

    @classmethod
    def now(cls, allowed_pids: frozenset[int] = frozenset()) -> Belongings:
        """Look at this process. Children in `allowed_pids`, and what they started, are not counted."""
        return cls(
            frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
            _children(allowed_pids),
            _descriptors(),
        )

    def beyond(self, earlier: Belongings) -> list[str]:
        """What is here now and was not before."""
        return [
            *(f"thread {name}" for name in sorted(self.threads - earlier.threads)),
            *(f"process {name}" for name in sorted(self.children - earlier.children)),
            *(f"descriptor {name}" for name in sorted(self.descriptors - earlier.descriptors)),
        ]


def leaked_since(earlier: Belongings, allowed_pids: Callable[[], frozenset[int]]) -> list[str]:
    """What the test left behind, after a bounded time in which it may still vanish."""
    leaks: list[str] = Belongings.now(allowed_pids()).beyond(earlier)
    if not leaks:
        return []
    gc.collect()  # what only a reference cycle holds is closed now, and reported as a ResourceWarning

    def nothing_left() -> bool:
        leaks[:] = Belongings.now(allowed_pids()).beyond(earlier)
        return not leaks

    try:
        wait_for(nothing_left, "nothing left behind", _GRACE_SECONDS)
    except AssertionError:
        return leaks
    return []


def _descriptors() -> frozenset[str]:
    """Every open descriptor with what it points at; the one of this very listing is gone by then."""
    tracker = sys.modules.get(_FOR_LIFE)
    ignored = {*_STANDARD_STREAMS, "" if tracker is None else str(tracker._resource_tracker._fd)}
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if number not in ignored:
            found.add(f"{number} → {target}")
    return frozenset(found)


def _children(allowed_pids: frozenset[int]) -> frozenset[str]:
    """The descendants that nobody answers for, each with its command."""
    found: set[str] = set()
    pending = psutil.Process().children()
    while pending:
        child = pending.pop()
        if child.pid in allowed_pids:
            continue
        try:
            command = " ".join(child.cmdline()) or child.name()
            pending.extend(child.children())
        except psutil.NoSuchProcess:
            continue
        if _FOR_LIFE not in command:
            found.add(f"{child.pid} {command}")
    return frozenset(found)
