"""A file is opened once for all that is asked of it, and closed in any case."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from file_watcher.processing.fingerprint import Fingerprinter, Interrupted, NotRegular, Reading, Vanished
from file_watcher.processing.in_hand import FileInHand
from file_watcher.processing.lease import WriterProbe

READER = Fingerprinter(lambda: False)


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    """A file of five bytes."""
    file = tmp_path / "song.flac"
    file.write_bytes(b"music")
    return bytes(file)


def in_hand(
    path: bytes,
    *,
    trusted: bool = True,
    reader: Fingerprinter = READER,
    on_read: Callable[[Reading], None] = lambda _: None,
) -> FileInHand:
    return FileInHand(
        path, os.lstat(os.path.dirname(path)).st_dev, WriterProbe(lambda _: trusted), reader, on_read
    )


def descriptors(path: bytes) -> int:
    """How many of our descriptors lead to the file."""
    leads = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            leads += os.fsencode(os.readlink(entry.path)) == path
        except FileNotFoundError:
            continue
    return leads


def test_it_is_opened_once_to_be_asked_and_read(path: bytes) -> None:
    readings: list[Reading] = []
    with in_hand(path, on_read=readings.append) as file:
        assert descriptors(path) == 0, "nothing was asked yet"
        assert file.is_open_for_writing() is False
        assert descriptors(path) == 1
        assert file.read() == readings[0]
        assert descriptors(path) == 1
    assert descriptors(path) == 0
    assert readings[0].fingerprint == READER.read(path).fingerprint


def test_a_writer_is_seen_and_the_file_can_still_be_read(path: bytes) -> None:
    with Path(os.fsdecode(path)).open("ab"), in_hand(path) as file:
        assert file.is_open_for_writing() is True
        assert file.read().stat.size == 5


def test_the_lease_is_given_back_before_the_file_is_read(path: bytes) -> None:
    """Else who opens it for writing would have to wait for us."""
    with in_hand(path) as file:
        file.is_open_for_writing()
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_where_leases_are_not_to_be_trusted_it_is_opened_for_the_reading_only(path: bytes) -> None:
    with in_hand(path, trusted=False) as file:
        assert file.is_open_for_writing() is None
        assert descriptors(path) == 0
        assert file.read().stat.size == 5


def test_what_is_replaced_between_is_read_as_it_was_opened(path: bytes, tmp_path: Path) -> None:
    """Its reader looks at the path again before the reading counts."""
    inode = os.stat(path).st_ino
    with in_hand(path) as file:
        assert file.is_open_for_writing() is False
        (tmp_path / "other").write_bytes(b"another")
        os.replace(tmp_path / "other", path)
        assert file.read().stat.inode == inode
    assert os.stat(path).st_ino != inode


def test_a_file_that_is_gone_or_no_file_says_so_when_it_is_read(path: bytes, tmp_path: Path) -> None:
    for at, error in ((bytes(tmp_path / "gone"), Vanished), (bytes(tmp_path), NotRegular)):
        with in_hand(at) as file:
            file.is_open_for_writing()
            with pytest.raises(error):
                file.read()


def test_it_is_closed_where_the_reading_is_given_up(path: bytes) -> None:
    with in_hand(path, reader=Fingerprinter(lambda: True)) as file, pytest.raises(Interrupted):
        file.read()
    assert descriptors(path) == 0
