"""How the decider and the workers look at the files of all libraries."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from file_watcher import senses
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import (
    GONE,
    UNKNOWN,
    FileRecord,
    FileStat,
    Fingerprint,
    Library,
    Metadata,
    attributes_of,
)
from file_watcher.processing.fingerprint import Fingerprinter, NotRegular, Reading, Vanished
from file_watcher.processing.lease import WriterProbe
from file_watcher.processing.tags.errors import FileChanged
from file_watcher.processing.tags.pool import TagReader
from file_watcher.processing.tags.whole import WholeFile, WholeFuture
from file_watcher.roster import Roster, Watched
from file_watcher.senses import DecidersEye, LeaseTrust, Looking, WorkersSenses
from file_watcher.settings import FileWatchSettings
from file_watcher.telemetry import Telemetry
from file_watcher.watching.sight import Eyes, look


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Library, Library]:
    for name in ("music", "music2"):
        (tmp_path / name).mkdir()
    first, second = (os.fsencode(tmp_path / name) for name in ("music", "music2"))
    return Library(1, "music", "production", first), Library(2, "music2", "production", second)


@pytest.fixture
def libraries(roots: tuple[Library, Library]) -> Roster:
    rules = FileWatchSettings(patterns=("*.mp3",), ignore_patterns=("*.part",))
    return Roster([Watched.by(each, rules) for each in roots])


def opened_eye(libraries: Roster, *roots: Library) -> tuple[DecidersEye, Eyes]:
    eyes = Eyes()
    for library in roots:
        eyes.open(library, libraries.filter_of(library).wants_file)
    return DecidersEye(eyes, libraries), eyes


def put(library: Library, name: str) -> bytes:
    path = Path(os.fsdecode(library.root)) / name
    path.write_bytes(b"la")
    return os.fsencode(path)


def test_a_path_lies_in_the_library_whose_root_is_above_it(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, music2 = roots
    assert libraries.of(music.root + b"/a.mp3") == music
    assert libraries.of(music2.root + b"/a.mp3") == music2
    assert libraries.of(music.root + b"3/a.mp3") is None
    assert libraries.filter_of(music).wants_file(music.root + b"/a.mp3")
    assert not libraries.filter_of(music).wants_file(music2.root + b"/a.mp3")


def test_the_decider_sees_files_of_opened_libraries_and_knows_no_others(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, music2 = roots
    eye, _ = opened_eye(libraries, music)
    path = put(music, "a.mp3")
    assert isinstance(eye.look(path, music.id), FileStat)
    assert eye.look(music.root + b"/b.mp3", music.id) is GONE
    assert eye.look(put(music2, "a.mp3"), music.id) is GONE, "no file of this library"
    assert eye.look(put(music2, "a.mp3"), music2.id) is UNKNOWN
    assert eye.look(b"/elsewhere/a.mp3", 99) is UNKNOWN


def test_a_library_is_verified_while_its_root_is_the_one_that_was_opened(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, music2 = roots
    eye, eyes = opened_eye(libraries, music)
    assert eye.is_verified(music)
    assert not eye.is_verified(music2)
    os.rmdir(music.root)
    assert not eye.is_verified(music)
    assert eyes.take_doubt(music)


def test_a_library_that_another_instance_owns_is_not_verified(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    _, eyes = opened_eye(libraries, *roots)
    eye = DecidersEye(eyes, libraries, lambda number: number == roots[0].id)

    assert [eye.is_verified(each) for each in roots] == [True, False]


def test_a_file_is_unmatched_where_it_stands_under_a_name_that_nobody_wants(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, _ = roots
    eye, _ = opened_eye(libraries, music)
    assert eye.is_unmatched(put(music, "a.part"))
    assert not eye.is_unmatched(put(music, "a.mp3"))
    assert not eye.is_unmatched(music.root + b"/gone.part")
    assert not eye.is_unmatched(b"/elsewhere/a.part")


class Rows:
    """A store that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
        self.asked.append((path, inode))
        return []


class Tags:
    """A tag reader that has nothing to say."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def submit(self, path: bytes, stat: FileStat) -> Future[Metadata | None]:
        self.asked.append(path)
        return Future()

    def submit_whole(self, path: bytes, stat: FileStat) -> WholeFuture:
        self.asked.append(path)
        return Future()


class Hashed(Telemetry):
    """Counts hashed bytes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def hashed(self, size: int, seconds: float) -> None:
        assert seconds >= 0
        self.sizes.append(size)


def test_workers_look_ask_read_and_count(roots: tuple[Library, Library], libraries: Roster) -> None:
    music, _ = roots
    eye, _ = opened_eye(libraries, music)
    rows, tags, telemetry = Rows(), Tags(), Hashed()
    workers = WorkersSenses(
        eye,
        cast("CatalogStore", rows),
        WriterProbe(lambda device: False),
        Fingerprinter(threading.Event().is_set),
        cast("TagReader", tags),
        telemetry,
        lambda _: Looking(),
    )
    path = put(music, "a.mp3")
    stat = workers.look(path, music)
    assert isinstance(stat, FileStat)
    assert workers.find(path, stat.inode) == []
    assert rows.asked == [(path, stat.inode)]
    with workers.in_hand(path, music, 1) as file:
        assert file.is_open_for_writing() is None
        assert file.read().stat == stat
    assert telemetry.sizes == [2]
    assert workers.read_tags(path, stat) is not None
    assert workers.read_tags(music.root + b"/tree.json", stat) is None
    assert tags.asked == [path]
    with workers.in_hand(music.root + b"/gone.mp3", music, 1) as gone, pytest.raises(Vanished):
        gone.read()
    assert telemetry.sizes == [2], "what could not be read is not counted"


def test_what_a_child_reads_counts_like_what_a_worker_reads(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, _ = roots
    tags, telemetry, limited = Tags(), Hashed(), list[int]()
    workers = WorkersSenses(
        opened_eye(libraries, music)[0],
        cast("CatalogStore", Rows()),
        WriterProbe(lambda device: False),
        Fingerprinter(threading.Event().is_set, limiter=limited.append),
        cast("TagReader", tags),
        telemetry,
        lambda _: Looking(),
    )
    stat = FileStat(2, 1, 1, 7, 100)
    assert workers.read_whole(music.root + b"/tree.json", stat) is None
    assert (tags.asked, limited) == ([], [])

    futures = [workers.read_whole(music.root + name, stat) for name in (b"/a.mp3", b"/b.mp3", b"/c.mp3")]
    assert limited == [2, 2, 2]
    read, unread, failed = futures
    assert read is not None
    assert unread is not None
    assert failed is not None
    read.set_result(WholeFile(None, Reading(stat, Fingerprint(b"", b""), 0, 0.1)))
    unread.set_result(WholeFile(None, None))
    failed.set_exception(FileChanged(b"/c.mp3"))
    assert telemetry.sizes == [2], "what could not be read is not counted"


def test_small_media_are_left_to_workers_while_the_disk_lets_the_children_wait(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    music, _ = roots
    workers = WorkersSenses(
        opened_eye(libraries, music)[0],
        cast("CatalogStore", Rows()),
        WriterProbe(lambda device: False),
        Fingerprinter(threading.Event().is_set),
        cast("TagReader", Tags()),
        Hashed(),
        lambda _: Looking(),
    )
    stat = FileStat(2, 1, 1, 7, 100)
    for number in range(8):
        future = workers.read_whole(music.root + b"/%d.mp3" % number, stat)
        assert future is not None
        future.set_result(WholeFile(None, Reading(stat, Fingerprint(b"", b""), 0, 0.5)))
    assert workers.read_whole(music.root + b"/a.mp3", stat) is None


def test_each_library_is_looked_at_by_its_own_rules(
    roots: tuple[Library, Library], libraries: Roster
) -> None:
    """In one of them links are followed, and mode and owner are told; in the other one neither."""
    music, music2 = roots
    looking = {music.id: Looking(follow_symlinks=True, wants_attributes=True), music2.id: Looking()}
    workers = WorkersSenses(
        opened_eye(libraries, *roots)[0],
        cast("CatalogStore", Rows()),
        WriterProbe(lambda device: False),
        Fingerprinter(threading.Event().is_set),
        None,
        Telemetry(),
        lambda library: looking[library.id],
    )
    for library in roots:
        target, link = put(library, "a.mp3"), library.root + b"/link.mp3"
        os.symlink(target, link)
    with workers.in_hand(music.root + b"/link.mp3", music, 1) as followed:
        assert followed.read().stat == look(music.root + b"/a.mp3")
    with workers.in_hand(music2.root + b"/link.mp3", music2, 1) as left, pytest.raises(NotRegular):
        left.read()
    assert workers.attributes(music.root + b"/link.mp3", music) == attributes_of(
        os.stat(music.root + b"/a.mp3")
    )
    assert workers.attributes(music2.root + b"/a.mp3", music2) is None


def test_leases_are_trusted_on_filesystems_that_answer_truly(
    roots: tuple[Library, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    music, music2 = roots
    device = os.stat(music.root).st_dev
    trust = LeaseTrust()
    assert not trust(device), "nothing is trusted before it was looked at"
    monkeypatch.setattr(senses, "answers_leases", lambda fs_type: True)
    trust.learn(music)
    assert trust(device)
    assert not trust(device + 1)
    monkeypatch.setattr(senses, "answers_leases", lambda fs_type: None)
    trust.learn(music2)
    assert not trust(device), "what would have to be tried out is not trusted"


def test_a_root_that_is_gone_teaches_nothing(roots: tuple[Library, Library]) -> None:
    music, _ = roots
    os.rmdir(music.root)
    LeaseTrust().learn(music)
