from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.model import Library


def test_a_root_becomes_a_library_named_after_its_folder_once(database: Database) -> None:
    libraries = Libraries(database)

    first = libraries.ensure_library(b"/data/music")

    assert first == Library(1, "music", "production", b"/data/music")
    assert libraries.ensure_library(b"/data/music", name="other", library_type="archive") == first
    with database.reading() as connection:
        assert connection.execute(text("SELECT path, is_watched FROM libraries")).one() == (
            "/data/music",
            True,
        )


def test_names_are_unique(database: Database) -> None:
    libraries = Libraries(database)
    roots = (b"/a/music", b"/b/music", b"/c/music", b"/")

    made = [libraries.ensure_library(root) for root in roots]

    assert [library.name for library in made] == ["music", "music-2", "music-3", "root"]
    assert libraries.ensure_library(b"/d", "tones", "archive").type == "archive"


def test_roots_whose_names_are_no_utf8_stay_apart(database: Database) -> None:
    libraries = Libraries(database)

    first, second = libraries.ensure_library(b"/data/\xff"), libraries.ensure_library(b"/data/\xfe")

    assert first.id != second.id
    assert libraries.ensure_library(b"/data/\xff") == first


def test_the_state_of_a_library_is_remembered(database: Database) -> None:
    libraries = Libraries(database)
    assert libraries.library_state(1) is None

    seen = LibraryState(1, root_device=2**63 + 1, root_inode=2**64 - 1, fsid="ext4 1234")
    libraries.save_library_state(seen)
    lost = replace(seen, state="suspended", reason="the root is gone", first_scan_done=True)
    libraries.save_library_state(lost)
    libraries.save_library_state(LibraryState(2))

    found, other = libraries.library_state(1), libraries.library_state(2)
    assert found is not None
    assert found.updated_ns > 0
    assert replace(found, updated_ns=0) == lost
    assert other is not None
    assert replace(other, updated_ns=0) == LibraryState(2)


def test_the_disks_of_a_library_are_remembered_under_any_name(database: Database) -> None:
    libraries = Libraries(database)
    disks = {b"/music/\xff'": (2**64 - 1, "17"), "/music/b\u00fccher".encode(): (2, str(2**63 + 1))}
    libraries.save_library_state(LibraryState(1, mounts=disks))
    libraries.save_library_state(LibraryState(2, mounts={}))
    states = [libraries.library_state(number) for number in (1, 2)]
    assert [state and state.mounts for state in states] == [disks, {}]
