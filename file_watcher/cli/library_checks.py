"""Whether a folder can be a library, and whether settings can be a library's own. Owns no thread.

Looks at the disk of this host; a service on another host looks again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from file_watcher.catalog.bookkeeping import root_of
from file_watcher.errors import UsageError
from file_watcher.jobs.rules import problems_of_jobs
from file_watcher.model import display
from file_watcher.paths import native, real_path
from file_watcher.settings.rules import problems_of_rule

if TYPE_CHECKING:
    from file_watcher.catalog.steering import LibraryRow

_LONGEST_NAME = 255


def folder_of(text: str) -> bytes:
    """The real, absolute path that was meant. Raises UsageError where it can be none, or is no folder."""
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is no path; give a folder")
    root = real_path(os.path.abspath(text))
    try:
        is_folder = stat.S_ISDIR(os.stat(native(root)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return root
    except OSError as exc:
        raise UsageError(
            f"{display(root)} cannot be looked at ({exc.strerror}): allow this user to enter the folders above it"
        ) from exc
    if not is_folder:
        raise UsageError(f"{display(root)} is not a folder; name a folder")
    return root


def is_there(root: bytes) -> bool:
    """Whether the folder is there now."""
    return os.path.isdir(native(root))


def check_place(
    root: bytes, watched: Sequence[LibraryRow], allowed: Sequence[Path], catalog: Path | None
) -> None:
    """Raise UsageError, with all that is wrong, where the folder cannot be watched beside these."""
    problems = []
    if allowed and not any(_holds(real_path(place), root) for place in allowed):
        places = ", ".join(str(place) for place in allowed)
        problems.append(
            f"{display(root)} lies outside of file_watch.allowed_roots ({places}); name a folder in these"
        )
    for row in watched:
        other = root_of(row.path)
        if _holds(other, root) or _holds(root, other):
            problems.append(
                f"{display(root)} and {display(other)}, which is watched as library {row.name!r} (#{row.id}), "
                "lie one in the other: unwatch that one first, or name another folder"
            )
    if catalog is not None and _holds(root, real_path(catalog)):
        problems.append(
            f"{display(root)} holds the catalog {catalog}, which would be watched itself; keep that elsewhere "
            "(DATABASE_URL)"
        )
    if problems:
        raise UsageError(*problems)


def check_name(name: str, rows: Sequence[LibraryRow]) -> None:
    """Raise UsageError where a new library cannot be called so."""
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise UsageError(f"--name {name!r} is no name: write 1 to {_LONGEST_NAME} printable characters")
    taken = [row.id for row in rows if row.name == name]
    if taken:
        raise UsageError(f"--name {name!r} is what library #{taken[0]} is called already; give another name")


def free_name(root: bytes, rows: Sequence[LibraryRow]) -> str:
    """The folder's name, with a number behind where that is taken."""
    taken = {row.name for row in rows}
    name = text_of(root).rstrip("/").rpartition("/")[2] or "root"
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def text_of(root: bytes) -> str:
    """The path as the shared table holds it: bytes that are no UTF-8 stay apart from one another."""
    return root.decode("utf-8", "backslashreplace")


def rules_in(pairs: Sequence[str]) -> dict[str, str | None]:
    """`key=value` pairs as rules; an empty value takes the rule away. Raises UsageError with all problems."""
    rules: dict[str, str | None] = {}
    problems = []
    for pair in pairs:
        key, separator, value = pair.partition("=")
        key = key.strip().removeprefix("file_watch.").replace("-", "_")
        if not separator:
            problems.append(f"{pair!r} is no key=value; such as debounce_time=5s")
            continue
        rules[key] = value or None
        if value:
            problems += problems_of_rule(key, value, problems_of_jobs)
    if problems:
        raise UsageError(*problems)
    return rules


def unset_rules(keys: Sequence[str], has: Mapping[str, str], name: str) -> dict[str, str | None]:
    """These keys, to be taken away. Raises UsageError where the library has no such rule."""
    bare = [key.strip().removeprefix("file_watch.").replace("-", "_") for key in keys]
    missing = [key for key in bare if key not in has]
    if missing:
        own = ", ".join(sorted(has)) or "none"
        raise UsageError(*(f"library {name!r} has no rule {key!r}; it has: {own}" for key in missing))
    return dict.fromkeys(bare)


def _holds(folder: bytes, path: bytes) -> bool:
    """By whole components: /lib holds /lib/a, and not /lib2."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
