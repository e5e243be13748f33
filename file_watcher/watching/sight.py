"""Looking at the disk: is a file there, gone, or can it not be told?

No thread; safe to use from several. What a look returns is what decisions rest on, so "gone" is only said
where it is proved: the root, and the mount that the path lay on, are still the ones that were opened.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import structlog

from file_watcher.errors import RetryableError
from file_watcher.model import GONE, UNKNOWN, FileStat, Library, Sight, display, is_regular
from file_watcher.paths import real_path
from file_watcher.system import FOLDER, filesystem_id, inode_flags
from file_watcher.watching.links import Links, folders_between
from file_watcher.watching.mounts import MountReader, MountTable, folds_case
from file_watcher.watching.nested import MountIdentity, MountsBelow, NestedMounts

log = structlog.get_logger(__name__)

_PATH_MAX: Final = 4096
"""Bytes that a path may have, its final NUL included (limits.h)."""
_FS_CASEFOLD_FL: Final = 0x4000_0000
"""From linux/fs.h; see ioctl_iflags(2)."""
_REMEMBERED_FOLDERS: Final = 8_192


class RootState(StrEnum):
    """What became of a library's root since it was opened."""

    OK = "ok"
    MISSING = "missing"
    REPLACED = "replaced"
    UNREADABLE = "unreadable"
    UNMOUNTED = "unmounted"


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """What tells a root folder from another one at the same path.

    `device` is comparable only while the machine runs; `fsid` (of statvfs(3)) and `inode` outlive a boot.
    """

    device: int
    inode: int
    fsid: int
    is_mount_point: bool = field(default=False, compare=False)


def identify_root(root: bytes) -> RootIdentity:
    """Take the identity of a root folder. Raises OSError: not there, no folder, cannot be looked at."""
    return replace(_identity(root), is_mount_point=MountTable.read().is_mount_point(root))


def verify_root(root: bytes, expected: RootIdentity) -> RootState:
    """Whether the folder at `root` is still the expected one; two system calls where it is."""
    try:
        found = _identity(root)
    except NotADirectoryError:
        return RootState.REPLACED
    except FileNotFoundError:
        return RootState.MISSING
    except OSError as exc:
        log.warning("library_root_unreadable", root=display(root), error=str(exc))
        return RootState.UNREADABLE
    if found == expected:
        return RootState.OK
    if expected.is_mount_point and not MountTable.read().is_mount_point(root):
        return RootState.UNMOUNTED
    return RootState.REPLACED


def look(path: bytes, *, follow_symlinks: bool = False) -> Sight:
    """One lstat(2) (stat(2) with `follow_symlinks`) of an absolute path; never raises OSError.

    GONE also where the path runs through a file or through a circle of links, or holds a name that is
    too long for its filesystem: nothing can be there. UNKNOWN where a path is too long to be asked for.
    """
    try:
        result = os.stat(path, follow_symlinks=follow_symlinks)
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            return GONE if len(path) < _PATH_MAX else UNKNOWN
        return GONE if exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP} else UNKNOWN
    return FileStat.of(result) if is_regular(result) else GONE


def inode_with_other_names(path: bytes) -> int:
    """The inode of a regular file that has more names than this one (hard links), else 0; never raises OSError."""
    try:
        result = os.lstat(path)
    except OSError:  # the name is gone again: only a rescan can tell what was written under it
        return 0
    return result.st_ino if is_regular(result) and result.st_nlink > 1 else 0


@dataclass(frozen=True, slots=True)
class _View:
    """What is known of an opened library. `folds`: what `folds_case` says of the root's filesystem."""

    library: Library
    wants_file: Callable[[bytes], bool]
    identity: RootIdentity
    follow_symlinks: bool
    folds: bool | None
    nested: NestedMounts

    def folds_at(self, path: bytes, below: MountsBelow) -> bool | None:
        """What `folds_case` says of the filesystem that the path lies on."""
        point = below.mount_under(path)
        return self.folds if point is None else folds_case(below.mounted[point].fs_type)


class Eyes:
    """Looks at paths of libraries that were opened; a library that is not open is UNKNOWN as a whole.

    `mounts` reads the mount table; it is asked before anything is called gone, and wherever disks are
    mounted below a root. What is known of those disks is kept when a library is shut.
    """

    def __init__(self, mounts: Callable[[], MountTable] = MountTable.read) -> None:
        self._mounts = mounts
        self._views: dict[int, _View] = {}
        self._nested: dict[int, NestedMounts] = {}
        self._doubted: set[int] = set()
        self._folder_folds = lru_cache(maxsize=_REMEMBERED_FOLDERS)(_has_casefold_flag)
        self._any_folder_folds = lru_cache(maxsize=_REMEMBERED_FOLDERS)(self._ask_any_folder_folds)
        self._links = Links()

    def open(
        self,
        library: Library,
        wants_file: Callable[[bytes], bool],
        *,
        follow_symlinks: bool = False,
        known_mounts: Mapping[bytes, MountIdentity] | None = None,
    ) -> RootIdentity:
        """Remember the root as it is now. Raises RetryableError where it is not there or cannot be read.

        `known_mounts`: the disks below the root that an earlier run remembered, None where none ever were;
        of no account where this library was open before.
        """
        try:
            identity = identify_root(library.root)
            with os.scandir(library.root):
                pass  # a folder that may not be listed would look empty
        except OSError as exc:
            raise RetryableError(
                f"The folder {display(library.root)} of library {library.name} cannot be used: {exc.strerror}."
            ) from exc
        folds = folds_case(self._mounts().fs_type_of(library.root))
        nested = self._nested.get(library.id) or NestedMounts(library.root, self._mounts, known_mounts)
        nested.now()  # what is mounted at this moment is what was never recorded
        self._doubted.discard(library.id)
        self._nested[library.id] = nested
        self._views[library.id] = _View(library, wants_file, identity, follow_symlinks, folds, nested)
        return identity

    def close(self) -> None:
        """Hold no descriptor any more; may be used further, at a higher price."""
        if isinstance(self._mounts, MountReader):
            self._mounts.close()

    def mounts_below(self, library: Library) -> MountsBelow:
        """The disks below the library's root, as they are now; none where it was never opened."""
        nested = self._nested.get(library.id)
        return MountsBelow() if nested is None else nested.now()

    def known_mounts(self, library: Library) -> Mapping[bytes, MountIdentity]:
        """The disks to be remembered."""
        nested = self._nested.get(library.id)
        return {} if nested is None else nested.known()

    def accept_mounts(self, library: Library, *, learn: Collection[bytes], forget: Collection[bytes]) -> None:
        """Take what is mounted at some points as what belongs there; expect no disk at others any more."""
        if (nested := self._nested.get(library.id)) is not None:
            nested.learn(learn)
            nested.forget(forget)

    def is_away(self, path: bytes, library: Library) -> bool:
        """Whether the path lies below the mount point of a disk that is away."""
        below = self.mounts_below(library)
        return any(below.is_away(place) for place in self._places(path, library, below))

    def shields(self, path: bytes, library: Library) -> bool:
        """Whether a file that is missing at this path may come back with its disk."""
        below = self.mounts_below(library)
        return any(below.shields(place) for place in self._places(path, library, below))

    def shut(self, library: Library) -> None:
        """Forget the library: until it is opened again, every look is UNKNOWN."""
        self._views.pop(library.id, None)

    def forget(self, library: Library) -> None:
        """Shut the library, and know nothing of its disks any more."""
        self.shut(library)
        self._nested.pop(library.id, None)
        self._doubted.discard(library.id)

    def root_state(self, library: Library) -> RootState:
        """Whether the library's root is still the one that was opened; MISSING where it is not open."""
        view = self._views.get(library.id)
        return RootState.MISSING if view is None else self._verify(view)

    def take_doubt(self, library: Library) -> bool:
        """Whether the root was not as it was opened at some look since the last call.

        What was looked at then was called UNKNOWN, and may not be looked at again soon.
        """
        if library.id not in self._doubted:
            return False
        self._doubted.discard(library.id)
        return True

    def look(self, path: bytes, library_id: int) -> Sight:
        """What is at `path`: a regular file that the library's filter wants, under exactly these bytes.

        A file that the filter does not want is GONE whatever the disk says. Anything else is GONE only
        while the root is the one that was opened, before and after a second look, and, where disks are
        mounted below it, while the right one is; otherwise UNKNOWN. In the bare folder of a disk that is
        away all is UNKNOWN. Blocks as long as the disk does.
        """
        if (view := self._views.get(library_id)) is None:
            return UNKNOWN
        if not view.wants_file(path):
            return GONE
        sight = self._look(path, view)
        if sight is not GONE:
            return sight
        if not self._proves_absence(path, view):
            return UNKNOWN
        sight = self._look(path, view)
        return UNKNOWN if sight is GONE and not self._proves_absence(path, view) else sight

    def look_at_all(self, places: Sequence[tuple[bytes, int]]) -> list[Sight]:
        """`look` at each path, in the library of that number; the mounts are asked once, after all are seen."""
        views = {library_id: self._views.get(library_id) for _, library_id in places}
        seen = [
            self._look_unmounted(path, view) if (view := views[number]) and view.wants_file(path) else None
            for path, number in places
        ]
        below = {number: view.nested.now() for number, view in views.items() if view}
        sights: list[Sight] = []
        for (path, number), first in zip(places, seen, strict=True):
            view, sight = views[number], first
            if view is not None and isinstance(first, FileStat):
                sight = self._judge(path, view, below[number], first)
            # What is not there takes more than one look.
            sights.append(sight if isinstance(sight, FileStat) else self.look(path, number))
        return sights

    def glance(self, path: bytes, library_id: int) -> Sight:
        """As `look`; only that for a file that is there the mounts are those of when they were last asked for.

        For who has it looked at again before it counts: saves a system call and a lock that all share.
        """
        view = self._views.get(library_id)
        if view is not None and view.wants_file(path):
            sight = self._look_unmounted(path, view)
            if isinstance(sight, FileStat):
                sight = self._judge(path, view, view.nested.lately(), sight)
            if isinstance(sight, FileStat):
                return sight
        return self.look(path, library_id)

    def _look(self, path: bytes, view: _View) -> Sight:
        """What the disk says. The mounts are asked after it: what was seen in the bare folder of a disk that is
        away is no file of ours."""
        sight = self._look_unmounted(path, view)
        return self._judge(path, view, view.nested.now(), sight)

    def _judge(self, path: bytes, view: _View, below: MountsBelow, sight: Sight) -> Sight:
        if any(below.is_away(place) for place in self._places(path, view.library, below)):
            return UNKNOWN
        if not isinstance(sight, FileStat):
            return sight
        folds = view.folds_at(path, below)
        if folds is None and not below.mounted:
            folds = self._any_folder_folds(view.library.root, path[: path.rfind(b"/")])
        return sight if folds is False else self._exact(path, view, below, sight)

    def _look_unmounted(self, path: bytes, view: _View) -> Sight:
        """What is at the path, whatever disk it lies on; GONE where a link leads to it that is not to be followed."""
        root = view.library.root
        sight = look(path, follow_symlinks=view.follow_symlinks)
        if not isinstance(sight, FileStat):
            return sight
        if view.follow_symlinks:
            is_ours = view.library.holds(real_path(path))
        else:
            is_ours = not self._links.lead_to(root, path)
        return sight if is_ours else GONE

    def _ask_any_folder_folds(self, root: bytes, folder: bytes) -> bool:
        """Whether this folder of the root's own mount, or one above it up to the root, has the casefold flag."""
        return any(map(self._folder_folds, (root, *folders_between(root, folder + b"/"))))

    def _exact(self, path: bytes, view: _View, below: MountsBelow, sight: FileStat) -> Sight:
        """The sight, if every name below the root is listed as it is spelled."""
        for part in (*folders_between(view.library.root, path), path):
            parent, _, name = part.rpartition(b"/")
            folds = view.folds_at(part, below)
            if folds is False or (folds is None and not self._folder_folds(parent)):
                continue
            try:
                if name not in os.listdir(parent):
                    return GONE
            except (FileNotFoundError, NotADirectoryError):
                return GONE
            except OSError:
                return UNKNOWN
        return sight

    def _proves_absence(self, path: bytes, view: _View) -> bool:
        return self._verify(view) is RootState.OK and not self.shields(path, view.library)

    def _places(self, path: bytes, library: Library, below: MountsBelow) -> tuple[bytes, ...]:
        """Where the path lies among the mounts: where links are followed, also where they lead to."""
        view = self._views.get(library.id)
        if view is None or not view.follow_symlinks or not (below.away or below.in_doubt):
            return (path,)
        return (path, real_path(path))

    def _verify(self, view: _View) -> RootState:
        state = verify_root(view.library.root, view.identity)
        if state is not RootState.OK:
            self._doubted.add(view.library.id)
        return state


def _identity(root: bytes) -> RootIdentity:
    result = os.stat(root)
    if not stat_module.S_ISDIR(result.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), root)
    return RootIdentity(result.st_dev, result.st_ino, filesystem_id(root))


def _has_casefold_flag(folder: bytes) -> bool:
    """Whether names in this folder are found under any spelling (ext4, f2fs, tmpfs: chattr +F)."""
    try:
        fd = os.open(folder, FOLDER)
    except OSError:  # may not be opened: then it may not be listed either, and the stat has to do
        return False
    try:
        return bool(inode_flags(fd) & _FS_CASEFOLD_FL)
    finally:
        os.close(fd)
