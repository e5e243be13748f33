"""file_watcher: every change in a library of files, exactly as the disk has it.

As a service it tells them over RabbitMQ (`python -m file_watcher`), inside a program by `Watcher`:

    from file_watcher import Watcher

    with Watcher("/data", patterns=["*.json"], debounce="100ms") as watcher:
        for event in watcher.events():
            print(event.kind, event.path)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from file_watcher.embedding.errors import WatcherError, WatcherStopped
    from file_watcher.embedding.event import FileEvent, Hashes
    from file_watcher.embedding.stats import RootStats, Stats
    from file_watcher.watcher import Watcher

__all__ = ["FileEvent", "Hashes", "RootStats", "Stats", "Watcher", "WatcherError", "WatcherStopped"]

_HOMES = {
    "FileEvent": "embedding.event",
    "Hashes": "embedding.event",
    "RootStats": "embedding.stats",
    "Stats": "embedding.stats",
    "Watcher": "watcher",
    "WatcherError": "embedding.errors",
    "WatcherStopped": "embedding.errors",
}


def __getattr__(name: str) -> Any:
    """Imported when first used (PEP 562): commands and child processes need not wait for all of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
