"""What a watcher tells about itself. Owns no thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootStats:
    """One watched folder. `state` says in a few words how it is kept: "watched", or what is wrong with it."""

    path: Path
    state: str


@dataclass(frozen=True, slots=True)
class Stats:
    """A watcher at one moment."""

    running: bool
    """Started, not stopped, and not ended by itself."""
    roots: tuple[RootStats, ...]
    healthy: bool
    """Whether every folder is watched, and all that was there at the start is known."""
    waiting: int | None
    """Events that were found out and are not handled yet; None where the catalog does not answer now."""
    taken: Mapping[str, int]
    """Events that were handed out, by kind."""
