"""A program that makes Linux look like macOS or Windows, as far as imports can tell, then imports all of us.

    python -m tests.support.other_system darwin|win32 [module] [argument…]

It prints what could not be imported, a line each. With a module it runs that as the program instead.
What a system has not got cannot be shown by a real one here: CI has Linux only. So everything is taken
away that is Linux's alone (on Windows POSIX's, too), modules and names, and sys.platform says otherwise.
Third-party packages are imported before, since those that were installed are Linux's.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.abc
import os
import pkgutil
import re
import runpy
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

ONLY_ON_LINUX: Final = frozenset(
    {
        "file_watcher.watching.canary",
        "file_watcher.watching.inotify",
        "file_watcher.watching.inotify_tree",
        "file_watcher.watching.moves",
    }
)
"""Nothing imports these elsewhere (see `watching/observer`)."""

_MODULES_OF_LINUX: Final = r"watchdog\.observers\.(inotify.*)"
_MODULES_OF_POSIX: Final = r"fcntl|resource|termios|tty|pty|pwd|grp|syslog"
_NAMES_OF_LINUX: Final = {
    os: r"memfd_create|MFD_.*|O_NOATIME|O_TMPFILE|O_PATH|posix_fadvise|POSIX_FADV_.*|eventfd.*|pidfd_open"
    r"|sched_.*etaffinity|copy_file_range|splice|prlimit",
    signal: r"SIGPOLL|SIGRTM..|pthread_sigmask_timed",
}
_NAMES_OF_POSIX: Final = {
    os: r"O_(NONBLOCK|CLOEXEC|NOFOLLOW|DIRECTORY|SYNC|DSYNC|NOCTTY)|f?statvfs|gete?[ug]id|sete?[ug]id|getpgid"
    r"|getpgrp|setsid|nice|[gs]etpriority|PRIO_.*|fork|forkpty|mkfifo|mknod|chown|lchown|fchown|chroot"
    r"|killpg|wait3|wait4|uname|sysconf.*|pathconf.*|confstr.*|getloadavg|register_at_fork",
    signal: r"SIG(HUP|KILL|QUIT|USR1|USR2|ALRM|CHLD|IO|PIPE|STOP|CONT|TSTP)|setitimer|pthread_kill|sigwait",
}


class _Absent(importlib.abc.MetaPathFinder):
    """Modules that this system has not got."""

    def __init__(self, names: str) -> None:
        self._names = re.compile(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._names.fullmatch(name):
            raise ModuleNotFoundError(f"No module named {name!r} on {sys.platform}", name=name)
        return None


def pretend(system: str) -> None:
    """From here on this process is on another system; what we had imported is forgotten."""
    windows = system == "win32"
    absent = _Absent(f"{_MODULES_OF_LINUX}|{_MODULES_OF_POSIX}" if windows else _MODULES_OF_LINUX)
    for name in [*sys.modules]:
        if name.partition(".")[0] == "file_watcher" or absent._names.fullmatch(name):
            del sys.modules[name]
    sys.meta_path.insert(0, absent)
    for module in (os, signal):
        names = _NAMES_OF_LINUX[module] + (f"|{_NAMES_OF_POSIX[module]}" if windows else "")
        for name in [name for name in vars(module) if re.fullmatch(names, name)]:
            delattr(module, name)
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]  # it found that out before
    if windows:
        sys.modules["msvcrt"] = _msvcrt()
    sys.platform = system


def _msvcrt() -> ModuleType:
    """What we use of Windows' own module, by what this system has."""
    module = ModuleType("msvcrt")
    locking = {
        "LK_NBLCK": fcntl.LOCK_EX | fcntl.LOCK_NB,
        "locking": fcntl.lockf,
    }
    vars(module).update(locking)
    return module


def our_modules() -> list[str]:
    """Every module of the package, migrations' steps aside (alembic runs those by their files)."""
    import file_watcher

    found = [module.name for module in pkgutil.walk_packages(file_watcher.__path__, "file_watcher.")]
    return [name for name in found if not re.search(r"\.migrations\.|\.__main__$", name)]


def main(system: str, program: str = "", *arguments: str) -> int:
    names = our_modules()
    for name in names:
        importlib.import_module(name)
    pretend(system)
    if program:
        sys.argv = [program, *arguments]
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return 0
    failed = 0
    for name in names:
        if name in ONLY_ON_LINUX:
            continue
        try:
            importlib.import_module(name)
        except Exception as exc:
            failed += 1
            print(f"{name}: {exc!r}")
    if loaded := sorted(ONLY_ON_LINUX & sys.modules.keys()):
        print(f"imported all the same: {', '.join(loaded)}")
    return 1 if failed or loaded else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
