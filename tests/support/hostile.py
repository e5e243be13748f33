"""What an attacker or a careless user may leave in a library, all in one folder.

Everything is made with the system calls that anybody has: no name here is more than a name, no link more than
a link. What is to be told of it is known beforehand (`Traps.told`); of all else not one word may be said.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.crafted_media import id3, mpeg_frames, text_frame

EVIL_TITLE = "\x1b]0;owned\x07Title\x9b31m\u202egpj.exe\u2028{event}%s\n12:00:00 deleted  all"
"""A tag that would drive a terminal, turn a line around and forge another one."""

NAMES: tuple[bytes, ...] = (
    b"two\nlines.mp3",
    b"carriage\rreturn.mp3",
    b"tab\tbell\x07backspace\x08\x08\x08.mp3",
    b"quote\"s and 'quotes' and `more`.mp3",
    b"back\\slash \\n \\x1b \\u202e.mp3",
    b"\x1b[2J\x1b[1;1Hcleared.mp3",
    b"\x1b]0;title\x07.mp3",
    b"\x1b]8;;file:\x1b\\link\x1b]8;;\x1b\\.mp3",
    b"delete\x7f.mp3",
    "c1 \x9b31m \x85 next.mp3".encode(),
    "turned \u202e3pm.exe\u202c.mp3".encode(),
    "isolated \u2066a\u2067b\u2069.mp3".encode(),
    "marks \u200e\u200f\u061c.mp3".encode(),
    "lines \u2028 and \u2029.mp3".encode(),
    "\ufeffbyte order mark.mp3".encode(),
    "Grüße \U0001f3b5 \u05e9\u05dc\u05d5\u05dd e\u0301.mp3".encode(),
    b"latin \xe9t\xe9 1.mp3",
    b"latin \xea\x74\xea 1.mp3",
    b"raw c1 \x9b2J.mp3",
    b"overlong \xc0\xaf\xc0\xae.mp3",
    b"surrogates \xed\xa0\x80\xed\xb0\x80.mp3",
    b"cut off \xf0\x9f\x8e.mp3",
    b"\xff\xfe\xfd.mp3",
    b"*.mp3",
    b"[a-z]?{x,y}.mp3",
    b"[unclosed.mp3",
    b"%s%n%d %(path)s.mp3",
    b"{0} {path} {0.__class__}.mp3",
    b"$HOME $(id) `id` ;id #.mp3",
    b"-rf --help.mp3",
    b" leading and trailing .mp3",
    b'","event_type":"deleted","x":".mp3',
    b'{"event":"service_stopped","level":"info"}.mp3',
    b"'; DROP TABLE fw_files; --.mp3",
    b"\n12:00:00 info      service_stopped.mp3",
    b"CON.mp3",
    b"%00.mp3",
    b"a" * 251 + b".mp3",
    "\u00e9".encode() * 125 + b"a.mp3",
    b"\xff" * 251 + b".MP3",
)
"""Names of plain files. All of them match the default patterns, and none an ignore pattern."""

DEPTH = 60
"""Levels of folders; SPEC names no limit but the kernel's."""

_YEARS_NS = {
    "1901": -2_145_916_800 * 10**9,
    "before 1970": -1,
    "2500": 16_725_225_600 * 10**9,
    "9999": 253_402_300_799 * 10**9,
}


@dataclass
class Traps:
    """What was laid out in one folder: files that are `told`, and links that are where links are followed.

    Where a path is too long for any system call, two are named: a file, and a folder with more below it.
    """

    folder: Path
    told: list[bytes] = field(default_factory=list)
    linked: list[bytes] = field(default_factory=list)
    _held: list[int] = field(default_factory=list)

    def lay(self, outside: Path) -> None:
        """Make everything. `outside` is a folder beyond the library, with a song that is not ours."""
        self.folder.mkdir(parents=True)
        self._odd_names()
        self._odd_files()
        self._no_files()
        self._links(outside)
        self._deep_folders()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the FIFO that has a writer."""
        while self._held:
            os.close(self._held.pop())

    def _file(self, name: bytes | str, content: bytes) -> bytes:
        path = self.folder / os.fsdecode(name)
        path.write_bytes(content)
        self.told.append(bytes(path))
        return bytes(path)

    def _odd_names(self) -> None:
        for number, name in enumerate(NAMES):
            self._file(name, os.fsencode(self.folder) + b"%d" % number)

    def _odd_files(self) -> None:
        self._file("empty.mp3", b"")
        tag = id3(text_frame("TIT2", EVIL_TITLE), text_frame("TPE1", "\u202eartist\x1b[5m"))
        self._file("evil tag.mp3", tag + mpeg_frames() + os.urandom(8))
        first = self._file("one of two names.mp3", b"linked" + os.urandom(8))
        os.link(first, first + b".flac")
        self.told.append(first + b".flac")
        os.truncate(self._file("nothing but a hole.mp3", b""), 5_000_000)
        for year, moment in _YEARS_NS.items():
            os.utime(self._file(f"of {year}.mp3", os.urandom(8)), ns=(moment, moment))

    def _no_files(self) -> None:
        os.mkfifo(self.folder / "fifo.mp3")
        os.mkfifo(self.folder / "fed.mp3")
        descriptor = os.open(self.folder / "fed.mp3", os.O_RDWR | os.O_NONBLOCK)
        os.write(descriptor, b"x" * 1000)
        self._held.append(descriptor)
        with socket.socket(socket.AF_UNIX) as server, _Within(self.folder):
            server.bind("socket.mp3")
        for name, minor in (("null.mp3", 3), ("zero.mp3", 5)):
            os.mknod(self.folder / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        album = self.folder / "album.mp3"
        album.mkdir()
        (album / "inner.mp3").mkdir()
        self._file("album.mp3/song.mp3", b"in a folder with a file's name" + os.urandom(8))

    def _links(self, outside: Path) -> None:
        target = self.folder / "target.mp3"
        self._file("target.mp3", b"what a link leads to" + os.urandom(8))
        real = self.folder / "real"
        real.mkdir()
        self._file("real/song.mp3", b"below a link" + os.urandom(8))
        links: dict[str, str | Path] = {
            "endless.mp3": "/dev/zero",
            "away.mp3": outside / "not ours.mp3",
            "away again.mp3": os.path.relpath(outside / "not ours.mp3", self.folder),
            "away": outside,
            "root": "/",
            "proc": "/proc/self",
            "itself.mp3": "itself.mp3",
            "ping.mp3": "pong.mp3",
            "pong.mp3": "ping.mp3",
            "up": "..",
            "here": ".",
            "dangling.mp3": "nowhere.mp3",
        }
        for name, leads_to in links.items():
            (self.folder / name).symlink_to(leads_to)
        (real / "back").symlink_to("..")
        inside = self.folder / "inside.mp3"
        inside.symlink_to(target)
        self.linked.append(os.fsencode(inside))
        (self.folder / "linked").symlink_to("real")
        self.linked.append(os.fsencode(self.folder / "linked" / "song.mp3"))

    def _deep_folders(self) -> None:
        deep = self.folder
        for level in range(DEPTH):
            deep /= f"{level}"
        deep.mkdir(parents=True)
        self._file(os.fsencode(deep / "deep.mp3"), b"deep" + os.urandom(8))
        _too_deep(self.folder / "long")


class _Within:
    """The working folder for an instant: a socket's path may have 107 bytes only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = os.open(".", os.O_RDONLY)
        os.chdir(self._folder)

    def __exit__(self, *_: object) -> None:
        os.fchdir(self._before)
        os.close(self._before)


def _too_deep(top: Path) -> None:
    """Folders with names of 250 bytes until no path reaches the last three, with a song in each of those."""
    name = "d" * 250
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    length, beyond = len(os.fsencode(top)), 0
    while beyond < 3:
        os.mkdir(name, dir_fd=at)
        deeper = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at, length = deeper, length + 1 + len(name)
        if length + 1 + len(name) >= 4096:
            # The first one has a name that its folder's path leaves no room for, the others even lie too deep.
            song = f"{'s' * 246}.mp3" if length < 4096 else "song.mp3"
            os.close(os.open(song, os.O_WRONLY | os.O_CREAT, dir_fd=at))
            beyond += length >= 4096
    os.close(at)
