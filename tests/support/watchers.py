"""What tests of the Python API do again and again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from file_watcher import FileEvent, Watcher

ROOT = Path(__file__).parents[2]
LONG = 30.0
"""Seconds that no event is late; nothing waits for them where all is well."""


def brief(event: FileEvent) -> str:
    """`created a.json`."""
    return f"{event.kind} {event.path.name}"


def take(watcher: Watcher, count: int) -> list[FileEvent]:
    """The next so many events."""
    events: list[FileEvent] = []
    while len(events) < count:
        event = next(watcher.events(LONG), None)
        assert event is not None, f"only {list(map(brief, events))} came"
        events.append(event)
    return events


def take_all(watcher: Watcher, count: int) -> list[FileEvent]:
    """The next so many events, after which there are no more."""
    events = take(watcher, count)
    assert list(map(brief, watcher.events(0.5))) == []
    return events


def program(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a little program as somebody would write it."""
    command = [sys.executable, "-W", "error", "-c", text, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
