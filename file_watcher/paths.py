"""Paths: one spelling inside, the system's own outside.

No thread. Inside, a path is absolute `bytes` with "/" between its names on every system, so that comparing, sorting
and cutting need not know which one it is: `/music/x.mp3`, on Windows `C:/music/x.mp3` or `//server/share/x.mp3`, where
the bytes are UTF-8 with surrogates as they are (PEP 529). Windows' own calls take "/" as well; only what comes from
outside (`inner`, `real_path`) or goes there (`native`, `native_bytes`) is converted. Which names are the same (letters
in another case, composed and decomposed accents on macOS) is left to the disk: a name is what a listing says.
"""

from __future__ import annotations

import os
import sys

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def inner(path: AnyPath) -> bytes:
    """The path as it is spelled inside; what is relative stays so. Touches no disk."""
    spelled = os.fsencode(path)
    return _from_windows(spelled) if sys.platform == "win32" else spelled


def real_path(path: AnyPath) -> bytes:
    """The absolute path that this one leads to, links followed, as it is spelled inside. Blocks as the disk does."""
    return inner(os.path.realpath(path))


def native_bytes(path: bytes) -> bytes:
    """The path as the system spells it, exactly: what `display` would show if every name were valid text."""
    return path.replace(b"/", b"\\") if sys.platform == "win32" else path


def native(path: bytes) -> str:
    """The same as text that the system's calls take (PEP 383: what is no text becomes surrogates)."""
    return os.fsdecode(native_bytes(path))


def _from_windows(path: bytes) -> bytes:
    """Slashes for backslashes, a large drive letter, and no prefix that says "take this as it is".

    realpath(3) of Python and other programs may put those prefixes before a path; the names behind are the same
    (Microsoft, "Naming Files, Paths, and Namespaces").
    """
    path = path.replace(b"\\", b"/")
    if path[:8].upper() == b"//?/UNC/":
        return b"//" + path[8:]
    if path.startswith(b"//?/"):
        path = path[4:]
    return path[:1].upper() + path[1:] if path[1:2] == b":" else path
