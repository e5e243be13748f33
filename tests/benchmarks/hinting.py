"""1,000 hints through the real filter and the real debounce, in and out again; one thread, no kernel."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import median
from typing import Final

from file_watcher.model import Hint, HintKind, Library
from file_watcher.part_configs import by_library, debounce_timing, goes_first
from file_watcher.settings import FileWatchSettings
from file_watcher.watching.debounce import Debouncer
from file_watcher.watching.filters import PathFilter
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.figure import Figure
from tests.benchmarks.trials import alone
from tests.benchmarks.trust import require

_HINTS: Final = 1_000
_PER_FOLDER: Final = 20
_ROUNDS: Final = 30
_WINDOW_SECONDS: Final = 1.0
_ROOT: Final = b"/srv/music"
_PATTERNS: Final = ("*.mp3", "*.flac", "*.wav", "*.ogg", "*.aac", "*.opus", "*.m4a", "*.mp4", "*.wma")
_IGNORED: Final = ("*.part", "~$*", ".*", "*.tmp", "*~", "*.crdownload", "*.swp", "*.metadata.json")


def measure(_bench: Bench, runs: int) -> list[Figure]:
    """Milliseconds: each path is judged, hinted, handed out when its window is over, and decided."""
    hints = [Hint(path, HintKind.CLOSED) for path in _paths()]
    trials = alone(lambda: median(_milliseconds(hints) for _ in range(_ROUNDS)), runs)
    what = f"{_HINTS:,} hints, each judged, debounced, handed out and decided; median of {_ROUNDS} rounds"
    return [Figure("hints", what, "ms", 10, "at most", trials)]


def _paths() -> list[bytes]:
    return [
        b"%s/Artist/Album %03d/%05d Song.mp3" % (_ROOT, number // _PER_FOLDER, number)
        for number in range(_HINTS)
    ]


def _milliseconds(hints: Sequence[Hint]) -> float:
    """A filter and a debouncer that have seen none of the paths."""
    rules = FileWatchSettings(debounce_time=_WINDOW_SECONDS)
    chosen = PathFilter(_ROOT, _PATTERNS, _IGNORED)
    debouncer = Debouncer(
        by_library(lambda _: rules, debounce_timing), goes_first=goes_first(lambda _: rules)
    )
    library = Library(1, "music", "production", _ROOT)
    gc.collect()
    seconds, decided = timed(lambda: _through(chosen, debouncer, library, hints))
    require(decided == len(hints) and not len(debouncer), f"only {decided} of {len(hints)} hints came out")
    return seconds * 1000


def _through(chosen: PathFilter, debouncer: Debouncer, library: Library, hints: Sequence[Hint]) -> int:
    for hint in hints:
        if chosen.wants_file(hint.path):
            debouncer.hint(hint, library, now=0.0, now_ns=0)
    decided = 0
    while tickets := debouncer.due(_WINDOW_SECONDS, 64):
        for ticket in tickets:
            debouncer.done(ticket, _WINDOW_SECONDS)
            decided += 1
    return decided
