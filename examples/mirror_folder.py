"""Keep a copy of a folder, and verify it.

    python mirror_folder.py SOURCE COPY [CATALOG]

Brings over what is in SOURCE, then every change as it happens, until Ctrl-C; then compares both, byte by byte. With a
CATALOG (a file outside of both) the next run goes on where this one stopped; who removes COPY removes it as well.
Only the files' content is brought over, not their rights and times, nor empty folders and links.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from file_watcher import FileEvent, Watcher, WatcherError, WatcherStopped

QUIET_SECONDS = 1.0
GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
"""What the system says of a path where there is no file now."""


class Mirror:
    """The copy. It only ever holds whole files: each is written beside it, and then put into its place at once."""

    def __init__(self, source: Path, copy: Path) -> None:
        self._source = source
        self._copy = copy
        self._partial = copy.with_name(f"{copy.name}.partial")
        self._again: set[Path] = set()
        """Files that were being changed just when they were brought over. Where the program is killed meanwhile, and
        the file then becomes what it was before, no event tells of it: to verify finds that."""

    def apply(self, event: FileEvent) -> None:
        """Do what the event says; afterwards the copy is right, or another event is on its way."""
        if event.old_path is not None:
            self._move(event.old_path.relative_to(event.root), event.path.relative_to(event.root))
        path = event.path.relative_to(event.root)
        if event.operation == "delete":
            self._remove(path)
        elif not self._has(path, event):
            self._bring(path, event)

    def mend(self) -> None:
        """Bring over what was in the way of itself. For quiet moments."""
        for path in sorted(self._again):
            self._bring(path, None)

    def differences(self) -> list[str]:
        """Every file that is not the same here and there, by reading both."""
        here, there = contents(self._source), contents(self._copy)
        return [os.fsdecode(path) for path in sorted({*here, *there}) if here.get(path) != there.get(path)]

    def _bring(self, path: Path, event: FileEvent | None) -> None:
        target = self._copy / path
        try:
            digest = copy_file(self._source / path, self._partial)
        except OSError as problem:
            if problem.errno not in GONE:
                raise
            digest = None  # "deleted" follows, unless it comes back as it was
        if digest is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._partial.replace(target)
        expected = None if event is None or event.hashes is None else event.hashes.sha256
        if event is None or digest == expected:
            self._again.discard(path)
        else:
            self._again.add(path)

    def _has(self, path: Path, event: FileEvent) -> bool:
        """Whether the file is there as the event says, as after a move."""
        target = self._copy / path
        return event.hashes is not None and target.is_file() and sha256_of(target) == event.hashes.sha256

    def _move(self, old: Path, new: Path) -> None:
        if (self._copy / old).is_file():
            (self._copy / new).parent.mkdir(parents=True, exist_ok=True)
            (self._copy / old).replace(self._copy / new)
        self._remove(old)

    def _remove(self, path: Path) -> None:
        """Remove the file, and the folders that are empty without it."""
        (self._copy / path).unlink(missing_ok=True)
        self._again.discard(path)
        for folder in (self._copy / path).parents:
            if folder == self._copy or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def copy_file(source: Path, target: Path) -> str:
    """Copy a file; returns the SHA-256 of what was copied."""
    hasher = hashlib.sha256()
    with open(source, "rb", opener=open_carefully) as reading:
        if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
            raise FileNotFoundError(errno.ENOENT, "there is no file any more", str(source))
        with target.open("wb") as writing:
            while block := reading.read(1 << 20):
                hasher.update(block)
                writing.write(block)
    return hasher.hexdigest()


def open_carefully(path: str, flags: int) -> int:
    """Neither follow a link nor wait at a named pipe that has come into the place of the file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path) -> dict[bytes, str]:
    """The SHA-256 of every file below the folder, by its path there."""
    return {
        os.fsencode(path.relative_to(folder)): sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def follow(watcher: Watcher, mirror: Mirror) -> None:
    """Apply every event; in quiet moments, mend. Until the watcher is stopped."""
    with suppress(WatcherStopped):
        while True:
            for event in watcher.events(timeout=QUIET_SECONDS):
                print(event)
                mirror.apply(event)
            mirror.mend()


def misplaced(source: Path, copy: Path, catalog: Path | None) -> str | None:
    """What lies in something else, which could never become the same then; None where nothing does."""
    source, copy = source.resolve(), copy.resolve()
    if copy.is_relative_to(source) or source.is_relative_to(copy):
        return f"{copy} and {source} are the same, or one lies in the other: name a COPY apart from SOURCE"
    for folder in (source, copy):
        if catalog is not None and catalog.resolve().is_relative_to(folder):
            return f"{catalog.resolve()} lies in {folder}: name a CATALOG outside of SOURCE and COPY"
    return None


def main(source: str, copy: str, catalog: str | None = None) -> int:
    """Mirror until Ctrl-C, then verify: 0 where both are the same, 2 where it cannot be done."""
    if problem := misplaced(Path(source), Path(copy), None if catalog is None else Path(catalog)):
        print(problem, file=sys.stderr)
        return 2
    mirror = Mirror(Path(source), Path(copy))
    Path(copy).mkdir(parents=True, exist_ok=True)
    try:
        with Watcher(source, catalog=catalog) as watcher:
            follow(watcher, mirror)
    except KeyboardInterrupt:
        print("Verifying …")
    except WatcherError as error:
        print(error, file=sys.stderr)
        return 2
    differences = mirror.differences()
    for path in differences:
        print(f"differs: {path!r}")
    print("The copy is the same." if not differences else f"{len(differences)} files differ.")
    return 1 if differences else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
