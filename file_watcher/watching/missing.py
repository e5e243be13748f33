"""Makes folders that are to be watched but missing (`create_missing`), where nothing speaks against it.

No thread; called once, before anything is watched. A folder is missing for two reasons: nobody has made it yet,
or its disk is not there. In the second case a new folder would stand in the disk's place, be watched as an empty
library, and be hidden again when the disk comes: then nothing is made, and the library waits as without the
setting.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from file_watcher.errors import UsageError
from file_watcher.model import display
from file_watcher.watching.mounts import MountTable

log = structlog.get_logger(__name__)

_FSTAB: Final = Path("/etc/fstab")
_FOR_DISKS: Final = (b"/mnt", b"/media", b"/run/media", b"/Volumes")
"""Where disks are mounted by custom (Filesystem Hierarchy Standard 3.0, 3.11 and 3.12; macOS)."""


def make_missing(root: bytes, *, was_watched: bool, fstab: Path = _FSTAB) -> bool:
    """Make the folder, and those above it, if it is missing; whether it was made. Blocks as long as the disk.

    `was_watched`: the catalog knows the folder, so it was there before. Whatever speaks against it is logged: the
    folder is waited for then. Raises UsageError where the system refuses it.
    """
    if os.path.isdir(root):
        return False
    configured = _mount_points(_read(fstab))
    reason = why_not(root, was_watched=was_watched, table=MountTable.read(), configured=configured)
    if reason is not None:
        log.warning(
            "missing_folder_not_made",
            folder=display(root),
            reason=reason,
            advice="mount its disk, or make the folder yourself; it is waited for",
        )
        return False
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as exc:
        raise UsageError(
            f"The folder {display(root)!r} cannot be made ({exc.strerror or exc}): make it, let this user write"
            " to the folder above it, or set FILE_WATCH_CREATE_MISSING=false to wait for it"
        ) from exc
    log.info("missing_folder_made", folder=display(root))
    return True


def why_not(root: bytes, *, was_watched: bool, table: MountTable, configured: frozenset[bytes]) -> str | None:
    """Why the missing folder may be on a disk that is not there, as words; None where nothing says so.

    `configured`: mount points that the system is told of (fstab(5)), mounted or not.
    """
    if was_watched:
        return "it was there before, so its disk may be away"
    places = [root, *_folders_above(root)]
    for place in places:
        if os.path.islink(place) and not os.path.exists(place):
            return f"the link {display(place)} leads to nothing, so the disk that it leads to may be away"
        if place in configured and not table.is_mount_point(place):
            return f"the disk that belongs at {display(place)} is not mounted"
    there = next((place for place in places if os.path.isdir(place)), b"/")
    mount = table.mount_of(there)
    for custom in _FOR_DISKS:
        on_a_disk = mount is not None and _lies_below(mount.mount_point, custom)
        if _lies_below(root, custom) and not on_a_disk:
            return f"no disk is mounted there, and {display(custom)} is for disks"
    return None


def _read(fstab: Path) -> bytes:
    try:
        return fstab.read_bytes()
    except OSError:  # there is none in most containers and on other systems; the other reasons remain
        return b""


def _mount_points(fstab: bytes) -> frozenset[bytes]:
    """The second fields of fstab(5), with their octal escapes undone; "/" and what is no path left out."""
    fields = [line.split() for line in fstab.splitlines() if not line.lstrip().startswith(b"#")]
    points = (each[1].replace(b"\\040", b" ").replace(b"\\011", b"\t") for each in fields if len(each) > 1)
    return frozenset(point.rstrip(b"/") for point in points if point.startswith(b"/")) - {b""}


def _folders_above(path: bytes) -> Iterator[bytes]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _lies_below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder + b"/")
