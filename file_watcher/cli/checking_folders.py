"""The part of `check` that looks at the folders to watch, and at what the kernel grants for watching them.

Walks the whole tree of every folder, on the caller's thread, for at most `_PATIENCE_SECONDS` in all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from file_watcher.cli.findings import Finding, ok, problem, warning
from file_watcher.cli.in_use import InUse, shown_folders
from file_watcher.model import display
from file_watcher.paths import inner, real_path
from file_watcher.processing.lease import WriterProbe, ignore_lease_signals
from file_watcher.settings import FileWatchSettings, Loaded
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.limits import InotifyLimits
from file_watcher.watching.mounts import MountTable, answers_leases, needs_polling

_PATIENCE_SECONDS: Final = 60.0
_PROC: Final = Path("/proc")
_NAMING: Final = ("data_dir", "file_watch.directories")
"""The settings that name folders."""


@dataclass(slots=True)
class Census:
    """What a walk found: wanted folders (the root included), wanted files, and one file to try a lease on."""

    folders: int = 0
    files: int = 0
    unlisted: int = 0
    complete: bool = True
    sample: bytes | None = None


@dataclass(frozen=True, slots=True)
class InotifyUse:
    """What this user's processes hold of inotify, as far as it may be seen."""

    watches: int = 0
    instances: int = 0


def check_folders(loaded: Loaded, running: InUse | None = None) -> Iterator[Finding]:
    """The findings about each root, then about the kernel's limits.

    Where no folder is set here, those that the running service watches are looked at.
    """
    watch, roots = loaded.settings.watch, loaded.settings.roots
    if not watch.enabled:
        yield warning("folders", "FILE_WATCH_ENABLED is false: nothing is watched")
        return
    if running is not None and running.other_folders(loaded):
        is_given = any(loaded.origins[key] != "default" for key in _NAMING)
        yield _about_others(running, is_given=is_given)
        roots = roots if is_given else running.folders
    table, deadline = MountTable.read(), time.monotonic() + _PATIENCE_SECONDS
    natively: list[Census] = []
    for root in roots:
        path = real_path(root)
        name = f"folder {display(inner(root))}"
        if not root.is_dir():
            mend = "make it, mount its disk, or name another one with DATA_DIR"
            yield warning(name, "is not there; the service starts and waits for it", mend)
            continue
        path_filter = PathFilter(path, watch.patterns, watch.ignore_patterns, recursive=watch.recursive)
        census = take_census(path, path_filter, deadline)
        fs_type = table.fs_type_of(path)
        polled = watch.observer == "polling" or (watch.observer == "auto" and needs_polling(fs_type))
        if not polled:
            natively.append(census)
        yield _about_contents(name, census)
        yield _about_watching(name, fs_type, watch, polled=polled)
        yield _about_leases(name, fs_type, census)
    if natively:
        yield from judge_own_limit(natively, watch.max_watches)
        yield from judge_budget(natively, InotifyLimits.read(), inotify_use(_PROC))


def _about_others(running: InUse, *, is_given: bool) -> Finding:
    who, watched = f"the running service ({running.name})", shown_folders(running.folders)
    if not is_given:
        return ok("folders", f"{who} watches {watched}, looked at here; this terminal has no DATA_DIR")
    mend = "set the same DATA_DIR here; or restart the service, if it is to watch what is set here"
    return warning("folders", f"{who} watches {watched}, which is not what is set here", mend)


def take_census(root: bytes, path_filter: PathFilter, deadline: float) -> Census:
    """Walk the tree until the deadline on the monotonic clock. Never raises OSError."""
    census = Census()
    waiting = [root]
    while waiting:
        if time.monotonic() > deadline:
            census.complete = False
            break
        census.folders += 1
        try:
            with os.scandir(waiting.pop()) as entries:
                waiting += _count(entries, path_filter, census)
        except OSError:  # shown as one that could not be listed
            census.unlisted += 1
    return census


def _so_many(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'}"


def judge_budget(libraries: list[Census], limits: InotifyLimits, used: InotifyUse) -> Iterator[Finding]:
    """Whether watches and instances suffice, with the command that raises what does not."""
    folders = sum(census.folders for census in libraries)
    at_least = "" if all(census.complete for census in libraries) else "at least "
    # One more of each: a watch of our own tells whether a library's instance still works.
    watches, instances = folders + len(libraries), len(libraries)
    budget = (
        ("max_user_watches", watches, used.watches, limits.max_user_watches),
        ("max_user_instances", instances, used.instances, limits.max_user_instances),
    )
    for name, needed, held, limit in budget:
        if limit is None:
            yield warning(
                "inotify",
                f"the limit fs.inotify.{name} cannot be read here; {at_least}{_so_many(needed)} needed",
            )
            continue
        detail = (
            f"fs.inotify.{name} is {limit}; {at_least}{_so_many(needed)} needed, {_so_many(held)} in use now"
        )
        mend = f"sysctl -w fs.inotify.{name}={_roomy(needed + held)}"
        if needed > limit:
            yield problem("inotify", f"{detail}: what is beyond is polled", mend)
        elif needed + held > limit:
            yield warning("inotify", f"{detail} (by a running service, too)", mend)
        else:
            yield ok("inotify", detail)


def judge_own_limit(libraries: list[Census], max_watches: int | None) -> Iterator[Finding]:
    """Whether the setting leaves enough; nothing to say where it is not set."""
    folders = sum(census.folders for census in libraries)
    if max_watches is not None and folders > max_watches:
        detail = f"FILE_WATCH_MAX_WATCHES is {max_watches}, {folders} folders are to be watched: the rest is polled"
        yield warning("inotify", detail, f"FILE_WATCH_MAX_WATCHES={_roomy(folders)}, or unset it")


def inotify_use(proc: Path) -> InotifyUse:
    """Count the inotify instances of our user's processes and their watches (proc_pid_fdinfo(5))."""
    watches = instances = 0
    for process in proc.glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.geteuid():
                continue
            for entry in (process / "fd").iterdir():
                if entry.readlink() == Path("anon_inode:inotify"):
                    instances += 1
                    watches += (process / "fdinfo" / entry.name).read_text().count("inotify wd:")
        except OSError:  # the process or its descriptor ended meanwhile, or may not be looked at
            continue
    return InotifyUse(watches, instances)


def _count(entries: Iterator[os.DirEntry[bytes]], path_filter: PathFilter, census: Census) -> list[bytes]:
    """Count a folder's files; returns its wanted folders. Links are not followed."""
    folders = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if path_filter.wants_folder(entry.path):
                folders.append(entry.path)
        elif entry.is_file(follow_symlinks=False) and path_filter.wants_file(entry.path):
            census.files += 1
            census.sample = census.sample or entry.path
    return folders


def _about_contents(name: str, census: Census) -> Finding:
    counted = f"{census.files} files in {census.folders} folders"
    if census.unlisted:
        mend = "let this user list them (r and x), or leave them out with FILE_WATCH_IGNORE_PATTERNS"
        return problem(name, f"{counted}; {census.unlisted} of the folders cannot be listed", mend)
    if not census.complete:
        return warning(name, f"{counted} so far: counting was given up after {_PATIENCE_SECONDS:g} s")
    return ok(name, counted)


def _about_watching(name: str, fs_type: str, watch: FileWatchSettings, *, polled: bool) -> Finding:
    kind = fs_type or "unknown filesystem"
    every = f"every {watch.poll_interval:g} s"
    if polled:
        why = (
            "as FILE_WATCH_OBSERVER says"
            if watch.observer == "polling"
            else "the kernel cannot tell of all changes"
        )
        return ok(name, f"{kind}: polled {every} ({why})")
    if watch.observer == "native" and needs_polling(fs_type):
        return warning(
            name, f"{kind}: changes from elsewhere are seen by rescans only", "FILE_WATCH_OBSERVER=auto"
        )
    return ok(name, f"{kind}: the kernel tells of changes")


def _about_leases(name: str, fs_type: str, census: Census) -> Finding:
    fallback = "a file counts as finished when it was closed, or its size held still"
    if answers_leases(fs_type) is not True:
        return ok(name, f"{fs_type or 'this filesystem'} does not tell who writes a file: {fallback}")
    if census.sample is None:
        return ok(name, f"{fs_type} can tell who writes a file")
    ignore_lease_signals()
    if WriterProbe(lambda _device: True).is_open_for_writing(census.sample) is None:
        mend = "run as the owner of the files, or with CAP_LEASE"
        return warning(name, f"this user may not ask who writes a file: {fallback}", mend)
    return ok(name, f"{fs_type} tells who writes a file")


def _roomy(needed: int) -> int:
    """Twice of what is needed, rounded up to a power of two: libraries grow, and others watch too."""
    return 1 << (2 * needed - 1).bit_length()
