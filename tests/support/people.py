"""What people's programs do to a library, at random but from a seed, on a real disk.

Each method of `People` is one habit: a browser's download, a tagger's replace, an rsync, a copy, a tidy-up.
They only use what such programs use (open, write, rename, link, …), so the kernel tells what it would tell.
A copy that stalls goes on while others act: its file stays open over several acts, and may be renamed, moved
or deleted meanwhile. Which acts a seed gives depends on nothing but the seed and the calls of `away`.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import mutagen.flac

from tests.support.waiting import wait_for

_NAMES = ("song", "take", "Über", "día 5", "naïve", "x" * 60, "a", "b", "c")
_SUFFIXES = (".mp3", ".flac", ".wav", ".txt", ".MP3", ".ogg")


_MOST_UNFINISHED = 3
_MOST_RECORDINGS = 4


@dataclass
class _Recording:
    """A file that grows bit by bit: held open all the time, or opened anew for every piece."""

    path: Path
    handle: BinaryIO | None
    pieces_left: int

    def grow(self, piece: bytes) -> bool:
        """Write a piece; whether more are to come. One that has to be opened anew ends where it is gone."""
        self.pieces_left -= 1
        if self.handle is not None:
            self.handle.write(piece)
            self.handle.flush()
        elif self.path.is_file():
            with self.path.open("ab") as handle:
                handle.write(piece)
        else:
            return False
        if self.pieces_left <= 0 and self.handle is not None:
            self.handle.close()
        return self.pieces_left > 0


class People:
    """Random operations below `libraries`; `outside` is a folder on the same disk that nobody watches.

    `witness(what)` is called after every act, and within those that take several steps, whenever the disk
    is as somebody may have seen it. Call `finish` in the end: it closes what is still being written.
    """

    def __init__(
        self,
        libraries: Sequence[Path],
        outside: Path,
        flac: Path,
        seed: int,
        witness: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._libraries = list(libraries)
        self._outside = outside
        self._flac = flac
        self._random = random.Random(seed)
        self._witness = witness
        self._unfinished: list[BinaryIO] = []
        self._recordings: list[_Recording] = []
        self._now = "at the start"
        self.done: Counter[str] = Counter()
        self._habits: list[Callable[[], None]] = [
            *[self.write, self.replace, self.rename, self.move, self.download, self.write_slowly] * 3,
            *[self.append, self.delete, self.edit_tags, self.rsync, self.overwrite_by_move, self.swap] * 2,
            *[self.new_folder, self.copy_tree, self.untar, self.move_folder, self.remove_tree],
            *[self.folder_out, self.folder_in, self.touch, self.chmod, self.hard_link, self.flicker],
            *[self.recreate, self.change_case, self.go_deep, self.file_for_folder],
            *[self.change_library, self.chain, self.replace_and_restore_times],
        ]

    def own_cameras(self) -> None:
        """From now on they record as well: files that grow while others act, and are renamed, moved or deleted."""
        self._habits += [self.record] * 8

    def act(self) -> None:
        """Do one thing, and perhaps go on with a copy that had stalled."""
        habit = self._random.choice(self._habits)
        self._now = habit.__name__
        habit()
        self.done[habit.__name__] += 1
        if self._unfinished and self._random.random() < 0.4:
            self._go_on()
        self._recordings = [each for each in self._recordings if self._keeps_growing(each)]
        self._step()

    def finish(self) -> None:
        """Complete what is still being written."""
        while self._unfinished:
            self._go_on()
        for recording in self._recordings:
            while recording.grow(self._content()):
                self._step()
        self._recordings.clear()
        self._step()

    def away(self, library: Path) -> None:
        """Leave this library alone: it is not there."""
        self._libraries.remove(library)

    def back(self, library: Path) -> None:
        """The library is there again."""
        self._libraries.append(library)
        self._libraries.sort()

    def write(self) -> None:
        """Create or overwrite in place."""
        self._new_path().write_bytes(self._content())

    def write_slowly(self) -> None:
        """Begin a copy that stalls: acts of others come before it goes on, and the file stays open."""
        if len(self._unfinished) == _MOST_UNFINISHED:
            self._go_on()
            return
        handle = self._new_path().open("wb")
        handle.write(self._content())
        handle.flush()
        self._unfinished.append(handle)

    def record(self) -> None:
        """Begin a recording; the acts of others come between its pieces."""
        if len(self._recordings) == _MOST_RECORDINGS:
            return
        path, pieces = self._new_path(), self._random.randint(3, 15)
        handle = path.open("ab")
        handle.write(self._content())
        handle.flush()
        if self._random.random() < 0.5:
            handle.close()
            self._recordings.append(_Recording(path, None, pieces))
        else:
            self._recordings.append(_Recording(path, handle, pieces))

    def record_until(self, is_seen: Callable[[], bool]) -> None:
        """Record until somebody has seen that it grows, however slow the machine is."""

        def grow() -> bool:
            handle.write(
                b"a piece of a recording"
            )  # not by chance: how many there are depends on the machine
            handle.flush()
            self._step()
            return is_seen()

        with (self._libraries[0] / "camera.mp3").open("ab") as handle:
            wait_for(grow, "a recording to be seen while it grows", timeout=60, every=0.1)
        self._step()

    def append(self) -> None:
        """Append to a file, in two writes."""
        if file := self._any_file():
            with file.open("ab") as handle:
                handle.write(self._content())
                handle.flush()
                handle.write(b"more")

    def replace(self) -> None:
        """Write a hidden temporary file and rename it over the old one."""
        file = self._any_file() or self._new_path()
        spare = file.with_name(f".{file.name}.tmp")
        spare.write_bytes(self._content())
        spare.replace(file)

    def download(self) -> None:
        """Grow a `.part` and rename it when it is complete."""
        target = self._new_path()
        part = target.with_name(target.name + ".part")
        with part.open("wb") as handle:
            for _ in range(3):
                handle.write(self._content())
                handle.flush()
        part.replace(target)

    def rsync(self) -> None:
        """A temporary file with a dot, times set, then renamed."""
        target = self._new_path()
        spare = target.with_name(f".{target.name}.Xy12")
        spare.write_bytes(self._content())
        os.utime(spare, (1_600_000_000, 1_600_000_000))
        spare.replace(target)

    def edit_tags(self) -> None:
        """Change a tag in place, with padding, as taggers do."""
        target = self._new_path().with_suffix(".flac")
        if not target.exists():
            shutil.copyfile(self._flac, target)
        try:
            flac = mutagen.flac.FLAC(target)
        except mutagen.MutagenError:
            return
        flac["title"] = f"Take {self._random.random()}"
        flac.save()

    def delete(self) -> None:
        """Delete a file."""
        if file := self._any_file():
            file.unlink()

    def rename(self) -> None:
        """Rename within the folder."""
        if file := self._any_file():
            self._rename(file, file.with_name(self._name()))

    def move(self) -> None:
        """Move to another folder."""
        if file := self._any_file():
            self._rename(file, self._any_folder() / file.name)

    def overwrite_by_move(self) -> None:
        """Move a file over another one."""
        first, second = self._any_file(), self._any_file()
        if first and second and first != second:
            self._rename(first, second)

    def swap(self) -> None:
        """Exchange two files through a third name."""
        first, second = self._any_file(), self._any_file()
        if first and second and first != second and not first.samefile(second):
            spare = first.with_name(".swap")
            first.rename(spare)
            self._step()
            second.rename(first)
            self._step()
            spare.rename(second)

    def chain(self) -> None:
        """Rename a file twice, and move another one to its first name."""
        first, other = self._any_file(), self._any_file()
        number = self._random.randint(0, 10**6)
        if first and other and first != other:
            second, third = (first.with_name(f"{place} {number}{first.suffix}") for place in ("2nd", "3rd"))
            first.rename(second)
            self._step()
            second.rename(third)
            self._step()
            self._rename(other, first)

    def change_library(self) -> None:
        """Move a file or a folder to another library."""
        file, folder = self._any_file(), self._any_folder()
        others = [library for library in self._libraries if not folder.is_relative_to(library)]
        if file and others and self._random.random() < 0.7:
            self._rename(file, self._random.choice(others) / file.name)
        elif others and folder not in self._libraries:
            target = self._random.choice(others) / f"from {self._random.randint(0, 10**6)}"
            folder.rename(target)

    def replace_and_restore_times(self) -> None:
        """Change the content and set the old time of modification again."""
        if file := self._any_file():
            before = file.stat().st_mtime_ns
            file.write_bytes(self._content())
            os.utime(file, ns=(before, before))

    def new_folder(self) -> None:
        """A new folder with files in it at once."""
        folder = self._new_folder()
        for number in range(self._random.randint(1, 6)):
            (folder / f"{number}.mp3").write_bytes(self._content())

    def copy_tree(self) -> None:
        """cp -r."""
        source = self._any_folder()
        if source not in self._libraries and sum(1 for _ in source.rglob("*")) < 60:
            target = self._new_folder() / "copy"
            if not target.is_relative_to(source):
                subprocess.run(["cp", "-r", source, target], check=True)

    def untar(self) -> None:
        """tar -x: old times, many files, perhaps over those of the last time."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for number in range(8):
                content = self._content()
                entry = tarfile.TarInfo(f"album/{number}.mp3")
                entry.size, entry.mtime = len(content), 1_500_000_000 + number
                archive.addfile(entry, io.BytesIO(content))
        command: list[str | Path] = ["tar", "--extract", "--directory", self._any_folder()]
        # It refuses to unpack into a file called `album`; then there is nothing to see.
        subprocess.run(command, input=packed.getvalue(), stderr=subprocess.DEVNULL, check=False)

    def move_folder(self) -> None:
        """Rename or move a whole folder."""
        folder = self._any_folder()
        parent = self._any_folder()
        target = parent / f"moved {self._random.randint(0, 99)}"
        if folder not in self._libraries and not target.exists() and not parent.is_relative_to(folder):
            folder.rename(target)

    def folder_out(self) -> None:
        """Move a folder out of the library."""
        folder = self._any_folder()
        target = self._outside / f"{self._random.randint(0, 10**9)}"
        if folder not in self._libraries:
            folder.rename(target)

    def folder_in(self) -> None:
        """Move a folder that is full into the library."""
        folders = [path for path in self._outside.iterdir() if path.is_dir()]
        if folders:
            source = self._random.choice(folders)
            target = self._any_folder() / f"back {source.name}"
            if not target.exists():
                source.rename(target)

    def remove_tree(self) -> None:
        """rm -r."""
        folder = self._any_folder()
        if folder not in self._libraries:
            shutil.rmtree(folder)

    def recreate(self) -> None:
        """Delete a file and write another one of the same name at once."""
        if file := self._any_file():
            file.unlink()
            self._step()
            file.write_bytes(self._content())

    def touch(self) -> None:
        """Set the times to now."""
        if file := self._any_file():
            os.utime(file)

    def chmod(self) -> None:
        """Change the mode."""
        if file := self._any_file():
            file.chmod(self._random.choice([0o600, 0o644, 0o640]))

    def hard_link(self) -> None:
        """Give a file a second name."""
        file, target = self._any_file(), self._new_path()
        if file and not target.exists():
            os.link(file, target)

    def flicker(self) -> None:
        """A file that is gone before anybody looks."""
        path = self._new_path()
        if not path.exists():
            path.write_bytes(self._content())
            self._step()
            path.unlink()

    def change_case(self) -> None:
        """Rename to the same name in other letters."""
        if file := self._any_file():
            self._rename(file, file.with_name(file.name.swapcase()))

    def go_deep(self) -> None:
        """A file 25 levels deep."""
        library = self._random.choice(self._libraries)
        folder = library.joinpath(*(f"d{level}" for level in range(25)))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self._name()).write_bytes(self._content())

    def file_for_folder(self) -> None:
        """A file where a folder was, or a folder where a file was."""
        if self._random.random() < 0.5:
            file = self._any_file()
            if file:
                file.unlink()
                self._step()
                file.mkdir()
                (file / "inside.mp3").write_bytes(self._content())
            return
        folder = self._any_folder()
        if folder not in self._libraries and folder.suffix.lower() in _SUFFIXES:
            shutil.rmtree(folder)
            self._step()
            folder.write_bytes(self._content())

    def _step(self) -> None:
        self._witness(self._now)

    def _go_on(self) -> None:
        """Write some more of the copy that stalled first, or complete it."""
        handle = self._unfinished.pop(0)
        handle.write(self._content())
        handle.flush()
        if self._random.random() < 0.5:
            handle.close()
        else:
            self._unfinished.append(handle)

    def _keeps_growing(self, recording: _Recording) -> bool:
        return self._random.random() < 0.5 or recording.grow(self._content())

    def _rename(self, source: Path, target: Path) -> None:
        if not target.is_dir():
            source.replace(target)

    def _content(self) -> bytes:
        if self._random.random() < 0.1:
            return self._random.choice([b"", b"always the same", b"twice the same"])
        return self._random.randbytes(self._random.randint(1, 5000))

    def _name(self) -> str:
        return self._random.choice(_NAMES) + self._random.choice(_SUFFIXES)

    def _new_path(self) -> Path:
        path = self._any_folder() / self._name()
        while path.is_dir():
            path = path / self._name()
        return path

    def _new_folder(self) -> Path:
        parent = self._any_folder()
        while True:
            folder = parent / f"folder {self._random.randint(0, 10**6)}"
            if not folder.exists():
                folder.mkdir()
                return folder

    def _any_folder(self) -> Path:
        folders = [path for path in self._everything() if path.is_dir()]
        return self._random.choice(self._libraries + folders)

    def _any_file(self) -> Path | None:
        files = [path for path in self._everything() if path.is_file()]
        return self._random.choice(files) if files else None

    def _everything(self) -> list[Path]:
        return sorted(path for library in self._libraries for path in library.rglob("*"))
