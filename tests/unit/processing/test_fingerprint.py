from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import FileStat, Fingerprint
from file_watcher.processing.fingerprint import (
    LONG_SIZE,
    ChangedWhileReading,
    Crowded,
    Fingerprinter,
    Interrupted,
    NotRegular,
    Reading,
    Unreadable,
    Vanished,
)

ROOT = Path(__file__).parents[3]


def never() -> bool:
    return False


def expected(content: bytes) -> Fingerprint:
    return Fingerprint(hashlib.sha256(content).digest(), xxhash.xxh3_128(content).digest())


def fingerprint(path: Path) -> Reading:
    return Fingerprinter(never).read(bytes(path))


def disturbed(path: Path, disturb: Callable[[], object]) -> Fingerprinter:
    """A fingerprinter of 4-byte blocks that disturbs the file once, after the first block."""
    pending = [disturb]

    def limiter(count: int) -> None:
        if pending:
            pending.pop()()

    return Fingerprinter(never, block_size=4, limiter=limiter)


@given(content=st.binary(max_size=64), block_size=st.integers(1, 20))
def test_both_hashes_are_those_of_the_content_whatever_the_block_size(
    content: bytes, block_size: int
) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        reading = Fingerprinter(never, block_size).read(os.fsencode(file.name))
    assert reading.fingerprint == expected(content)
    assert reading.stat.size == len(content)


def test_a_reading_carries_the_stat_and_the_time_before_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = path.stat().st_mtime_ns
    reading = fingerprint(path)
    assert reading.stat == FileStat.of(path.stat())
    assert reading.read_at_ns >= before
    assert 0 < reading.seconds < 10


def test_a_file_larger_than_a_block_is_read_whole(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "file").write_bytes(content)
    assert fingerprint(tmp_path / "file").fingerprint == expected(content)


def test_the_limiter_is_told_every_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    sizes: list[int] = []
    Fingerprinter(never, block_size=4, limiter=sizes.append).read(bytes(tmp_path / "file"))
    assert sizes == [4, 4, 2]


def test_one_fingerprinter_serves_several_threads_at_once(tmp_path: Path) -> None:
    contents = [os.urandom(50_000 + number) for number in range(4)]
    shared = Fingerprinter(never, block_size=1000)
    found: dict[int, set[Fingerprint]] = {number: set() for number in range(4)}
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)

    def read(number: int) -> None:
        for _ in range(20):
            found[number].add(shared.read(bytes(tmp_path / str(number))).fingerprint)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: {expected(content)} for number, content in enumerate(contents)}


def test_a_file_that_grows_while_it_is_read_has_no_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ChangedWhileReading):
        disturbed(path, grow).read(bytes(path))


def test_a_file_that_never_stops_growing_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("ab", buffering=0) as file:

        def grow(count: int) -> None:
            file.write(b"more")

        with pytest.raises(ChangedWhileReading):
            Fingerprinter(never, block_size=4, limiter=grow).read(bytes(path))


def test_a_file_that_shrinks_while_it_is_read_has_no_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with pytest.raises(ChangedWhileReading):
        disturbed(path, lambda: os.truncate(path, 5)).read(bytes(path))


def test_bytes_overwritten_behind_the_reader_leave_no_fingerprint_even_with_the_old_mtime(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    stat = path.stat()

    def overwrite() -> None:
        with path.open("r+b") as file:
            file.write(b"X")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    with pytest.raises(ChangedWhileReading):
        disturbed(path, overwrite).read(bytes(path))


def test_a_file_that_was_replaced_while_it_was_read_has_no_fingerprint(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"0123456789")
    # A second name keeps the inode, and with it all of its stat but the ctime, in existence.
    other.write_bytes(b"9876543210")
    with pytest.raises(ChangedWhileReading):
        disturbed(path, lambda: other.replace(path)).read(bytes(path))


def test_a_path_that_leads_elsewhere_after_the_reading_has_no_fingerprint(tmp_path: Path) -> None:
    """A renamed folder changes nothing in the stat of the open file."""
    folder, other = tmp_path / "folder", tmp_path / "other"
    for place in (folder, other):
        place.mkdir()
        (place / "file").write_bytes(b"0123456789")

    def swap() -> None:
        folder.rename(tmp_path / "away")
        other.rename(folder)

    with pytest.raises(ChangedWhileReading):
        disturbed(folder / "file", swap).read(bytes(folder / "file"))


def test_a_file_whose_folder_went_away_while_it_was_read_has_vanished(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"0123456789")
    with pytest.raises(Vanished):
        disturbed(path, lambda: path.parent.rename(tmp_path / "away")).read(bytes(path))


def test_nothing_at_the_path_has_vanished(tmp_path: Path) -> None:
    with pytest.raises(Vanished, match="no longer there"):
        fingerprint(tmp_path / "missing")


def test_a_file_in_the_place_of_a_folder_makes_the_path_vanish(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(Vanished):
        fingerprint(tmp_path / "folder" / "file")


def test_a_folder_is_not_regular(tmp_path: Path) -> None:
    with pytest.raises(NotRegular):
        fingerprint(tmp_path)


def test_a_fifo_without_a_writer_neither_blocks_nor_is_regular(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotRegular):
        fingerprint(tmp_path / "fifo")


def test_a_socket_is_not_regular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(NotRegular):
            fingerprint(tmp_path / "socket")


def test_a_device_is_not_regular() -> None:
    with pytest.raises(NotRegular):
        fingerprint(Path("/dev/zero"))


def test_a_symbolic_link_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(NotRegular):
        fingerprint(tmp_path / "link")
    reading = Fingerprinter(never).read(bytes(tmp_path / "link"), follow_symlinks=True)
    assert reading.fingerprint == expected(b"content")


def test_a_disk_that_fails_is_unreadable_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"content")

    def failing(descriptor: int, buffers: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "readv", failing)
    with pytest.raises(Unreadable, match="Input/output error") as caught:
        fingerprint(tmp_path / "file")
    assert caught.value.errno == errno.EIO
    assert caught.value.path == bytes(tmp_path / "file")


_READ_AS_ANOTHER = """
import sys
from file_watcher.processing.fingerprint import Fingerprinter
reader = Fingerprinter(lambda: False)
try:
    print(reader.read(sys.argv[1].encode()).fingerprint.sha256.hex())
except Exception as exc:
    print(type(exc).__name__, exc.errno)
"""


def read_as_another_user(path: Path) -> str:
    command = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        sys.executable,
        "-c",
        _READ_AS_ANOTHER,
        str(path),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return result.stdout.strip()


def test_another_users_file_is_read_where_that_is_permitted_and_unreadable_where_not() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"content")
        file.flush()
        Path(file.name).chmod(0o600)
        assert read_as_another_user(Path(file.name)) == f"Unreadable {errno.EACCES}"
        Path(file.name).chmod(0o644)
        assert read_as_another_user(Path(file.name)) == hashlib.sha256(b"content").hexdigest()


def test_reading_leaves_the_access_time_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    fingerprint(path)
    assert path.stat().st_atime_ns == 0


def test_a_stop_ends_the_reading_of_a_terabyte_within_one_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 1 << 40)
    read: list[int] = []
    with pytest.raises(Interrupted):
        Fingerprinter(lambda: len(read) == 3, limiter=read.append).read(bytes(path))
    assert read == [1 << 20] * 3


def test_of_large_files_only_so_many_are_read_at_once_and_small_ones_at_any_time(tmp_path: Path) -> None:
    large, other, small = tmp_path / "large.mp3", tmp_path / "other.mp3", tmp_path / "small.mp3"
    for path, size in ((large, LONG_SIZE), (other, LONG_SIZE), (small, 10)):
        path.touch()
        os.truncate(path, size)
    stop = threading.Event()

    def meanwhile(_: int) -> None:
        if stop.is_set():
            return
        stop.set()
        with pytest.raises(Crowded):
            fingerprinter.read(bytes(other))
        assert fingerprinter.read(bytes(small)).stat.size == 10

    is_told_to_stop = iter((False, False))
    fingerprinter = Fingerprinter(
        lambda: next(is_told_to_stop, stop.is_set()), limiter=meanwhile, long_readings=lambda: 1
    )
    with pytest.raises(Interrupted):
        fingerprinter.read(bytes(large))
    with pytest.raises(Interrupted):
        fingerprinter.read(bytes(other))


def test_reading_a_terabyte_is_given_up_soon_after_the_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "huge.mp3"
    path.touch()
    os.truncate(path, 1 << 40)
    read: list[int] = []

    def remove(count: int) -> None:
        read.append(count)
        path.unlink(missing_ok=True)

    with pytest.raises(ChangedWhileReading):
        Fingerprinter(never, limiter=remove).read(bytes(path))
    assert sum(read) < 1 << 29


def test_failed_readings_leave_no_descriptor_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Interrupted):
            Fingerprinter(lambda: True).read(bytes(path))
        with pytest.raises(NotRegular):
            fingerprint(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
