from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import FileStat, Library, display, is_regular, uuid7

STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)


# -- stats ---------------------------------------------------------------------------------------------


def test_a_stat_holds_what_identifies_a_files_state(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    result = path.stat()
    stat = FileStat.of(result)
    assert stat == FileStat(3, 1_234_567_890_123_456_789, result.st_ctime_ns, result.st_dev, result.st_ino)


def test_reading_a_file_leaves_its_stat_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = FileStat.of(path.stat())
    os.utime(path, ns=(99, before.mtime_ns))
    path.read_bytes()
    after = FileStat.of(path.stat())
    assert after == before._replace(ctime_ns=after.ctime_ns), "the access time is no part of it"


def test_a_second_name_is_no_part_of_a_files_stat_but_for_the_ctime(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = FileStat.of(path.stat())
    (tmp_path / "link").hardlink_to(path)
    after = FileStat.of(path.stat())
    assert after._replace(ctime_ns=0) == before._replace(ctime_ns=0)


@pytest.mark.parametrize("mtime_ns", [10**19, -(10**19)])
def test_a_time_that_no_database_can_hold_is_the_farthest_that_it_can(mtime_ns: int) -> None:
    times = {"st_mtime_ns": mtime_ns, "st_ctime_ns": 5}
    result = os.stat_result((0o100644, 100, 7, 1, 0, 0, 1, 0, 0, 0), times)
    stat = FileStat.of(result)
    assert abs(stat.mtime_ns) == (1 << 63) - 1
    assert (stat.mtime_ns > 0, stat.ctime_ns) == (mtime_ns > 0, 5)


def test_the_same_file_has_the_same_inode_of_the_same_device() -> None:
    assert STAT.same_file(FileStat(0, 0, 0, 7, 100))
    assert not STAT.same_file(STAT._replace(inode=101))
    assert not STAT.same_file(STAT._replace(device=8))


def test_equal_size_and_mtime_make_equal_bytes_likely() -> None:
    assert STAT.same_bytes_likely(FileStat(3, 1_000, 0, 0, 0))
    assert not STAT.same_bytes_likely(STAT._replace(size=4))
    assert not STAT.same_bytes_likely(STAT._replace(mtime_ns=1_001))


def test_only_regular_files_are_regular(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert is_regular((tmp_path / "file").stat())
    assert not is_regular(tmp_path.stat())
    assert not is_regular((tmp_path / "link").lstat())
    assert not is_regular((tmp_path / "fifo").stat())


# -- libraries -----------------------------------------------------------------------------------------


def test_a_library_holds_its_root_and_what_lies_below_it() -> None:
    library = Library(1, "music", "production", b"/data/music")
    assert library.holds(b"/data/music")
    assert library.holds(b"/data/music/a/b.mp3")


@pytest.mark.parametrize("path", [b"/data", b"/data/music2/a.mp3", b"/data/musi", b"/other/data/music/a"])
def test_a_library_holds_whole_components_only(path: bytes) -> None:
    assert not Library(1, "music", "production", b"/data/music").holds(path)


def test_a_library_at_the_root_of_all_holds_everything() -> None:
    library = Library(1, "all", "production", b"/")
    assert library.holds(b"/")
    assert library.holds(b"/a")
    assert library.holds(b"/a/b")


# -- identifiers ---------------------------------------------------------------------------------------


@given(st.integers(0, (1 << 48) * 1_000_000 - 1))
def test_a_uuid7_is_one_by_the_standard_and_holds_its_millisecond(now_ns: int) -> None:
    value = uuid.UUID(uuid7(now_ns))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == now_ns // 1_000_000


def test_identifiers_sort_by_their_millisecond() -> None:
    assert uuid7(1_700_000_000_000_000_000) < uuid7(1_700_000_000_001_000_000)


def test_identifiers_of_one_moment_differ_in_all_their_random_bits() -> None:
    values = [uuid.UUID(uuid7(0)).int for _ in range(200)]
    assert len(set(values)) == 200
    ever_set = ever_clear = 0
    for value in values:
        ever_set |= value
        ever_clear |= ~value
    random_bits = (ever_set & ever_clear & ((1 << 128) - 1)).bit_count()
    assert random_bits == 74


def test_an_identifier_is_of_now_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)
    assert uuid.UUID(uuid7()).int >> 80 == 1_700_000_000_123


# -- names for eyes ------------------------------------------------------------------------------------


@given(st.text().filter(lambda text: text.isprintable()))
def test_a_name_in_utf_8_is_shown_as_it_is(text: str) -> None:
    assert display(text.encode()) == text


@given(st.binary())
def test_every_name_can_be_shown_and_encoded(path: bytes) -> None:
    assert display(path).encode().decode() == display(path)


def test_what_cannot_be_decoded_is_shown_as_replaced() -> None:
    assert display(b"/lib/caf\xe9.mp3") == "/lib/caf\N{REPLACEMENT CHARACTER}.mp3"
