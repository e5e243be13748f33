"""One file against its row, with real files and a catalog that may change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from file_watcher.catalog.bookkeeping import KnownLibrary
from file_watcher.model import FileRecord, FileStat, Fingerprint, Library
from file_watcher.processing.fingerprint import ChangedWhileReading, Fingerprinter, Reading, Unreadable
from file_watcher.processing.integrity import Verdict
from file_watcher.verification import Finding, Inspector, LibraryAway, require_root
from file_watcher.watching.sight import identify_root

OTHER = Fingerprint(b"o" * 32, b"o" * 16)
NOBODY_WRITES = False


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(b"some bytes")
    return path


def row_of(file: Path) -> FileRecord:
    """What the catalog says right after the file was told."""
    reading = Fingerprinter(lambda: False).read(os.fsencode(file))
    return FileRecord(os.fsencode(file), 1, "id", 1, reading.stat, reading.fingerprint)


def inspect(
    row: FileRecord,
    row_now: Callable[[FileRecord], FileRecord | None] = lambda row: row,
    read: Callable[[bytes], Reading] | None = None,
    is_written: bool | None = NOBODY_WRITES,
) -> Finding | None:
    read = read or Fingerprinter(lambda: False).read
    return Inspector(read, row_now, lambda _path: is_written).inspect(row)


def verdict(finding: Finding | None) -> Verdict:
    assert finding is not None
    return finding.verdict


def flip_a_bit(file: Path) -> None:
    """Change the content and put the mtime back, which ctime tells."""
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_is_as_it_was_told_is_intact(file: Path) -> None:
    assert verdict(inspect(row_of(file))) is Verdict.INTACT
    row = row_of(file)
    file.chmod(0o600)
    assert verdict(inspect(row)) is Verdict.INTACT


def test_a_flipped_bit_behind_a_restored_mtime_is_found_and_told_as_altered(file: Path) -> None:
    row = row_of(file)
    flip_a_bit(file)
    finding = inspect(row)
    assert verdict(finding) is Verdict.ALTERED
    assert finding is not None
    assert finding.found != row.fingerprint


def test_a_flipped_bit_that_no_time_tells_is_corrupt(file: Path) -> None:
    """As when the disk loses a bit: nobody wrote, so even ctime is the row's."""
    row = row_of(file)
    flip_a_bit(file)
    rotten = replace(row, stat=FileStat.of(file.stat()))
    assert verdict(inspect(rotten)) is Verdict.CORRUPT


def test_what_was_written_or_replaced_is_changed_and_not_read(file: Path) -> None:
    def unread(_path: bytes) -> Reading:
        raise AssertionError("the stat alone tells that it changed")

    row = row_of(file)
    file.write_bytes(b"more bytes than before")
    assert verdict(inspect(row, read=unread)) is Verdict.CHANGED
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    row = row_of(file)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)
    assert verdict(inspect(row, read=unread)) is Verdict.CHANGED


def test_what_is_gone_or_no_file_any_more_is_missing(file: Path) -> None:
    row = row_of(file)
    file.unlink()
    assert verdict(inspect(row)) is Verdict.MISSING
    file.mkdir()
    assert verdict(inspect(row)) is Verdict.MISSING


def test_without_hashes_there_is_nothing_to_compare(file: Path) -> None:
    row = row_of(file)
    assert verdict(inspect(replace(row, fingerprint=None))) is Verdict.UNHASHED
    assert verdict(inspect(replace(row, growing=True))) is Verdict.UNHASHED


def test_what_the_system_refuses_is_told_with_its_reason(file: Path) -> None:
    def refused(path: bytes) -> Reading:
        raise Unreadable(path, 5)

    finding = inspect(row_of(file), read=refused)
    assert verdict(finding) is Verdict.UNREADABLE
    assert finding is not None
    assert finding.detail == "Input/output error"


def test_a_file_that_changes_while_it_is_read_is_changed(file: Path) -> None:
    def restless(path: bytes) -> Reading:
        raise ChangedWhileReading(path)

    assert verdict(inspect(row_of(file), read=restless)) is Verdict.CHANGED


def test_a_change_that_the_service_has_told_meanwhile_accuses_nobody(file: Path) -> None:
    row = row_of(file)
    flip_a_bit(file)
    told = replace(row_of(file), version=2)
    assert verdict(inspect(row, lambda _row: told)) is Verdict.INTACT
    assert inspect(row, lambda _row: None) is None


def test_a_row_that_never_holds_still_is_a_change(file: Path) -> None:
    row = row_of(file)
    flip_a_bit(file)
    versions = iter(range(2, 100))
    assert verdict(inspect(row, lambda row: replace(row, version=next(versions)))) is Verdict.CHANGED
    assert next(versions) < 50


def test_a_file_that_somebody_has_open_for_writing_is_not_accused(file: Path) -> None:
    row = row_of(file)
    flip_a_bit(file)
    finding = inspect(row, is_written=True)
    assert verdict(finding) is Verdict.CHANGED
    assert verdict(inspect(row, is_written=None)) is Verdict.ALTERED


def test_two_readings_that_differ_are_told_as_such(file: Path) -> None:
    row = row_of(file)
    contents = iter([OTHER, row.fingerprint])

    def flickering(_path: bytes) -> Reading:
        fingerprint = next(contents)
        assert fingerprint is not None
        return Reading(row.stat, fingerprint, 0, 0.0)

    finding = inspect(row, read=flickering)
    assert verdict(finding) is Verdict.CORRUPT
    assert finding is not None
    assert finding.detail is not None
    assert "two readings differ" in finding.detail


# the root


def known(root: Path, **changes: object) -> KnownLibrary:
    identity = identify_root(os.fsencode(root))
    library = Library(1, "music", "production", os.fsencode(root))
    return replace(KnownLibrary(library, None, identity.inode, str(identity.fsid)), **changes)  # type: ignore[arg-type]


def test_the_root_that_was_watched_is_fine(tmp_path: Path) -> None:
    require_root(known(tmp_path))
    require_root(known(tmp_path, root_inode=None, fsid=None))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suspended": "the disk is away"}, r"is suspended \(the disk is away\)"),
        ({"root_inode": 1}, "is not what was watched at"),
        ({"fsid": "another"}, "is not what was watched at"),
    ],
)
def test_a_root_of_which_nothing_can_be_said_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(LibraryAway, match=words):
        require_root(known(tmp_path, **changes))


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    there = known(tmp_path / "music")
    (tmp_path / "music").rmdir()
    with pytest.raises(LibraryAway, match=r"is away: .* cannot be looked at \(No such file"):
        require_root(there)
