"""The Python API: a watcher inside a program of one's own. No broker, no server.

The threads belong to the service's parts (see `service`), to `embedding.core` and to `embedding.engine`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Final, Self

from file_watcher.embedding.engine import Engine
from file_watcher.embedding.event import FileEvent
from file_watcher.embedding.options import Duration, options_of
from file_watcher.embedding.roots import AnyPath
from file_watcher.embedding.stats import Stats

_NONE: Final[Mapping[str, object]] = MappingProxyType({})
_called_back: Final[set[Watcher]] = set()
"""Running watchers that call back: they do their work even where nobody refers to them."""


class Watcher:
    """Tells every change of the files below some folders, exactly as the disk has it.

        from file_watcher import Watcher

        with Watcher("/data", patterns=["*.json"], debounce="100ms") as watcher:
            for event in watcher.events():
                sync(event)

    A program that handles every event in order ends with the exact state of the disk: files that are there at the
    start are told as `created` first, then each change once it has settled; nothing is lost when the kernel's
    queue overflows or a disk is away for a while. What a `FileEvent` holds is said there.

    An event counts as handled when the next one is asked for (from any iteration of this watcher), or when the
    callback has returned. With a `catalog` file, the next watcher of that file goes on after the last event that
    was handled: it tells what was not, then what has changed meanwhile. So after a crash the event that was
    being handled, and perhaps some before it, come again: at least once, with the same `event_id`. Without
    a catalog file nothing is remembered, and the next watcher tells all files anew.

    It sets no signal handler, configures no logging (see `logging.getLogger("file_watcher")`) and prints nothing.
    Its threads are daemons; a program that ends without `stop` leaves nothing behind, but for a folder
    `file_watcher-catalog-…` among the temporary files where it was killed. Do not fork while it runs, or only to
    exec.
    """

    def __init__(
        self,
        *paths: AnyPath,
        preset: str | None = None,
        patterns: str | Sequence[str] | None = None,
        ignore: str | Sequence[str] | None = None,
        debounce: Duration | None = None,
        existing: bool = True,
        catalog: str | os.PathLike[str] | None = None,
        on_event: Callable[[FileEvent], object] | None = None,
        buffer: int = 1024,
        recursive: bool = True,
        follow_symlinks: bool = False,
        idle_timeout: Duration | None = None,
        settings: Mapping[str, object] = _NONE,
    ) -> None:
        """Describe a watcher; nothing is looked at before `start` (which `with` and `events` call).

        paths: folders, none of them in another one. They must exist; one that vanishes later is waited for.
        preset: a set of settings to begin with: `"code"`, `"documents"`, `"video"` or `"all"`; see the README.
        patterns, ignore: names of files, as `"*.json"` or `"**/ast/*.json"`; `ignore` also of folders. Default: all
            files, none ignored, or the preset's.
        debounce: a file is looked at when it was quiet this long: `"1s"`, seconds or a timedelta. Default: 100 ms, or
            the preset's.
        existing: False: what is there at the start is not told. It is read all the same, once, for only then
            can be told what has changed, and `start` waits for that. In a `catalog` that knows the folder
            already, changes since the last time are told either way.
        catalog: a file (SQLite) that remembers what was told, outside of the folders; made where it is missing.
        on_event: called with each event, one after the other, on a thread of its own; instead of `events`. What it
            raises ends the watcher, and is raised by `wait` or at the end of the `with` block.
        buffer: about how many events may wait for the program. Then no further file is read; nothing is dropped.
        recursive: False: only the folders themselves.
        follow_symlinks: also go into folders, and read files, behind symbolic links.
        idle_timeout: tell `idle` when nobody has written to a file for so long. Default: never.
        settings: any other setting of the service by its name, as `{"max_wait": "5s"}`; see the README.

        Raises ValueError with a line for each argument that cannot be used.
        """
        options = options_of(
            preset=preset,
            patterns=patterns,
            ignore=ignore,
            debounce=debounce,
            idle_timeout=idle_timeout,
            recursive=recursive,
            follow_symlinks=follow_symlinks,
            existing=existing,
            buffer=buffer,
            catalog=catalog,
            settings=settings,
        )
        self._calls_back = on_event is not None
        self._engine = Engine(options, paths, on_event)
        self._finalizer = weakref.finalize(self, self._engine.stop)

    def start(self) -> Self:
        """Begin to watch. Does nothing where it runs already.

        Returns when the folders are about to be watched: what happens from now on is told. Blocks for about
        half a second; without `existing` until all files were read.

        Raises WatcherError, with the cause chained, where a folder or the catalog cannot be used (nothing is
        left running, and it may be tried again); WatcherStopped after `stop`.
        """
        self._engine.start()
        if self._calls_back:
            _called_back.add(self)
        return self

    def watch(self, path: AnyPath) -> None:
        """Watch one more folder; before the start, add it to the others.

        While it runs, returns when the folder is watched: what happens in it from now on is told. What is there
        already is told as at a start; without `existing` it is read instead, and waited for. The other folders, and
        the iterations, go on undisturbed. May be called from any thread, also from `on_event` and between two events.

        Raises WatcherError for a folder that cannot be watched, is watched already or lies in one that is (before
        the start, `start` raises it), and where the catalog cannot be written; then nothing has changed.
        WatcherStopped after `stop`, and where it comes meanwhile.
        """
        self._engine.watch(path)

    def events(self, timeout: float | None = None) -> Iterator[FileEvent]:
        """The events, one after the other, as they come; starts the watcher where it does not run yet.

        Blocks while there is none. Ends after `stop`, or when none came for `timeout` seconds; another call goes
        on from there. May be used by several threads, each with a call of its own: each event goes to one
        of them, and two events of the same file are never under way at once.

        Raises WatcherStopped after `stop`, and WatcherError where the watcher could not be started, ended by
        itself, or has an `on_event`.
        """
        return self._kept(self._engine.events(timeout))

    def _kept(self, events: Iterator[FileEvent]) -> Iterator[FileEvent]:
        """An iteration keeps its watcher, which else would be stopped once nobody refers to it."""
        yield from events

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is stopped, for instance while `on_event` is called; False after `timeout` seconds.

        Raises WatcherError where it ended by itself, or where the callback raised.
        """
        return self._engine.wait(timeout)

    def stats(self) -> Stats:
        """How it is now. May ask the catalog, and so take some milliseconds. Works at any time."""
        return self._engine.stats()

    def stop(self) -> None:
        """End every iteration, every thread and every child process. May be called from any thread, and twice.

        Waits at most 5 s for a callback under way, and 5 s for reads that hang. An event that is in hand
        counts as not handled. Never raises.
        """
        self._engine.stop()
        self._finalizer.detach()
        _called_back.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self._engine.raise_untold_failure()
