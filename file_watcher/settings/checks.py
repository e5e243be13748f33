"""Looks at the disk, and at settings together: what parses well may still not work.

Each function returns lines for the operator, each with the setting, its value and the mend; an empty list
means that nothing is wrong. They touch the disk, and block as long as it does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from file_watcher.model import display
from file_watcher.paths import inner
from file_watcher.settings.schema import Settings


def check_roots(settings: Settings) -> list[str]:
    """What is wrong with the folders to watch. A missing one is fine: it is waited for."""
    named = [("DATA_DIR", root) for root in settings.data_dir]
    named += [("FILE_WATCH_DIRECTORIES", root) for root in settings.watch.directories]
    problems = [line for name, root in named if (line := check_folder(name, root))]
    for (first_name, first), (second_name, second) in combinations(named, 2):
        names = first_name if first_name == second_name else f"{first_name} and {second_name}"
        if overlap := _overlap(first, second):
            problems.append(f"{names}: {overlap}; name one of them only")
    return problems + _check_allowed(settings, named)


def check_times(settings: Settings) -> list[str]:
    """What is wrong with times that depend on one another."""
    idle, debounce = settings.watch.idle_timeout, settings.watch.debounce_time
    if idle is None or idle >= debounce:
        return []
    return [
        (
            f"FILE_WATCH_IDLE_TIMEOUT={idle:g}s is shorter than FILE_WATCH_DEBOUNCE_TIME={debounce:g}s: a file is looked"
            " at when it was quiet for the latter, so make the idle timeout longer, or the debounce shorter"
        )
    ]


def check_broker(settings: Settings) -> list[str]:
    """What is wrong with TLS: files that cannot be read, halves of pairs, a URL that says otherwise."""
    broker = settings.rabbitmq
    problems = []
    if (broker.cert_file is None) != (broker.key_file is None):
        given, missing = ("CERT", "KEY") if broker.cert_file is not None else ("KEY", "CERT")
        problems.append(f"RABBITMQ_{given}_FILE needs RABBITMQ_{missing}_FILE: set both or neither")
    if broker.url is not None and not broker.address().tls and (broker.ca_file or broker.cert_file):
        problems.append(
            f"RABBITMQ_URL={broker.shown()!r} means a connection without TLS, but RABBITMQ_CA_FILE or"
            " RABBITMQ_CERT_FILE is set: write amqps://, or unset the files"
        )
    files = (("CA", broker.ca_file), ("CERT", broker.cert_file), ("KEY", broker.key_file))
    for name, file in files:
        if file is not None and (reason := _unreadable(file)):
            problems.append(
                f"RABBITMQ_{name}_FILE={_quoted(file)} cannot be used: {reason}; name a file that this user"
                " may read"
            )
    return problems


def check_state(settings: Settings, state_folder: Path) -> list[str]:
    """Whether the catalog would lie in a watched folder, where it would be watched and read itself."""
    file = settings.catalog_file(state_folder)
    if file is None:
        return []
    folder = Path(os.path.realpath(file)).parent
    return [
        f"The catalog {_quoted(file)} lies in the watched folder {_quoted(root)}: set DATABASE_URL"
        " to a place outside of it, or watch another folder (DATA_DIR)"
        for root in settings.roots
        if _lies_in(folder, _real(root))
    ]


def check_patterns(settings: Settings) -> list[str]:
    """What begins with a watched folder: a slash at the beginning means the library's root, not the disk's."""
    watch = settings.watch
    lists = (
        ("FILE_WATCH_PATTERNS", watch.patterns),
        ("FILE_WATCH_IGNORE_PATTERNS", watch.ignore_patterns),
        ("FILE_WATCH_PRIORITY_PATTERNS", watch.priority_patterns),
    )
    return [line for name, patterns in lists for line in patterns_naming(name, patterns, settings.roots)]


def patterns_naming(name: str, patterns: Iterable[str], roots: Sequence[Path]) -> list[str]:
    """Lines about the patterns, given under this name, that begin with one of the watched folders."""
    return [
        f"{name}: {pattern!r} names the watched folder {_quoted(root)}, but patterns hold below it; write"
        f" {pattern.replace(str(root), '', 1)!r}"
        for pattern in patterns
        for root in roots
        if pattern.removeprefix("!").startswith(f"{root}/") and root != Path("/")
    ]


def check_folder(name: str, root: Path) -> str | None:
    """Why this folder, which `name` says, cannot be watched; None where it can, or is waited for."""
    shown = f"{name}={_quoted(root)}"
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            return f"{shown} is not a folder; name a folder"
    except FileNotFoundError:
        return None
    except PermissionError:
        return f"{shown} cannot be looked at: this user needs the right to enter (x) the folders above it"
    except OSError as exc:
        return f"{shown} cannot be looked at ({exc.strerror or exc}); name a folder"
    missing = [
        word for right, word in ((os.R_OK, "read (r)"), (os.X_OK, "enter (x)")) if not _may(root, right)
    ]
    if missing:
        return f"{shown} may not be listed: this user needs the right to {' and '.join(missing)} it"
    return None


def _check_allowed(settings: Settings, named: list[tuple[str, Path]]) -> list[str]:
    allowed = settings.watch.allowed_roots
    if not allowed:
        return []
    places = ", ".join(_quoted(path) for path in allowed)
    return [
        f"{name}={_quoted(root)} lies outside of FILE_WATCH_ALLOWED_ROOTS ({places}); name a folder in these"
        for name, root in named
        if not any(_lies_in(_real(root), _real(place)) for place in allowed)
    ]


def _overlap(first: Path, second: Path) -> str | None:
    """How two folders overlap, by whole components of their real paths."""
    real_first, real_second = _real(first), _real(second)
    if real_first == real_second:
        return f"{_quoted(first)} and {_quoted(second)} are the same folder"
    if _lies_in(real_first, real_second):
        return f"{_quoted(first)} lies in {_quoted(second)}"
    if _lies_in(real_second, real_first):
        return f"{_quoted(second)} lies in {_quoted(first)}"
    return None


def _real(path: Path) -> Path:
    """The path without links; unlike Path.resolve it has an answer for a loop of links, too."""
    return Path(os.path.realpath(path))


def _lies_in(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _may(path: Path, right: int) -> bool:
    """By the effective ids, which are the ones that count when the folder is opened."""
    return os.access(path, right, effective_ids=os.access in os.supports_effective_ids)


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb"):
            return None
    except OSError as exc:
        return exc.strerror or "it cannot be read"


def _quoted(path: Path) -> str:
    return repr(display(inner(path)))
