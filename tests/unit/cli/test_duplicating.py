"""`duplicates`: what is shown of groups of the same content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.model import FileRecord, Fingerprint
from tests.support.catalog import ROOT, opened, record, store_of
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


def file(name: str | bytes, content: bytes, inode: int, size: int) -> FileRecord:
    return record(name, inode=inode, size=size, fingerprint=Fingerprint(content * 32, content * 16))


def fill(url: str, *records: FileRecord) -> None:
    with opened(url) as database:
        rows = Libraries(database)
        rows.save_library_state(LibraryState(rows.ensure_library(ROOT).id))
        store_of(database).commit(Batch(inserts=records))


FEW_BIG = (file("big 1", b"b", 1, 5_000_000), file("big 2", b"b", 2, 5_000_000))
MANY_SMALL = tuple(file(f"small {n:02d}", b"s", 10 + n, 1_000_000) for n in range(12))
LINKS = tuple(file(f"link {n}", b"l", 99, 7_000_000) for n in range(2))


def test_the_groups_that_waste_most_come_first(invoke: Invoke, url: str) -> None:
    fill(url, *FEW_BIG, *MANY_SMALL, *LINKS)
    result = invoke("duplicates", "--database-url", url)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "11.0 MB wasted: 12 copies of 1.0 MB (737373737373…)",
        *(f"  /data/music/small {n:02d}" for n in range(10)),
        "  … and 2 more (--json lists all)",
        "5.0 MB wasted: 2 copies of 5.0 MB (626262626262…)",
        "  /data/music/big 1",
        "  /data/music/big 2",
        "2 groups of 14 files waste 16.0 MB.",
    ]


def test_what_is_not_shown_is_counted(invoke: Invoke, url: str) -> None:
    fill(url, *FEW_BIG, *MANY_SMALL)
    told = invoke("duplicates", "-n", "1", "--database-url", url).stdout.splitlines()
    assert told[0].startswith("11.0 MB wasted")
    assert told[-1] == ("2 groups of 14 files waste 16.0 MB; 1 more group is not shown (--limit 0: all).")
    told = invoke("duplicates", "--limit", "0", "music", "--database-url", url).stdout.splitlines()
    assert told[0].startswith("5.0 MB wasted")  # largest files first


def test_hard_links_beside_a_copy_are_told(invoke: Invoke, url: str) -> None:
    fill(url, *LINKS, file("copy", b"l", 5, 7_000_000))
    told = invoke("duplicates", "--database-url", url).stdout
    assert told.startswith("7.0 MB wasted: 2 copies of 7.0 MB, and 1 hard link (6c6c6c6c6c6c…)\n")


def test_programs_get_every_file_and_the_total(invoke: Invoke, url: str) -> None:
    fill(url, *FEW_BIG, *MANY_SMALL, file(b"sm\xff\n", b"s", 50, 1_000_000))
    result = invoke("duplicates", "--json", "--database-url", url)
    big, small, total = (json.loads(line) for line in result.stdout.splitlines())
    assert big == {
        "size": 5_000_000,
        "wasted_bytes": 5_000_000,
        "count": 2,
        "copies": 2,
        "sha256_hash": "62" * 32,
        "files": [{"path": f"/data/music/big {n}", "library": "music"} for n in (1, 2)],
    }
    assert len(small["files"]) == 13
    assert small["files"][-1]["path_base64"] == "L2RhdGEvbXVzaWMvc23/Cg=="
    assert total == {"total": {"groups": 2, "files": 15, "wasted_bytes": 17_000_000, "unhashed": 0}}


def test_a_catalog_without_copies_says_so(invoke: Invoke, url: str) -> None:
    fill(url, file("a", b"a", 1, 10))
    assert invoke("duplicates", "--database-url", url).stdout == "No file of the catalog has a copy.\n"
    assert invoke("duplicates", "--min-size", "1GB", "--database-url", url).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--min-size", "huge"), "--min-size 'huge' is no size; such as 500kB"),
        (("nope",), "no library 'nope'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    invoke: Invoke, url: str, arguments: tuple[str, ...], words: str
) -> None:
    fill(url)
    result = invoke("duplicates", *arguments, "--database-url", url)
    assert result.exit_code == 2
    assert words in result.stderr


def test_files_without_hashes_are_said_not_to_have_been_compared(invoke: Invoke, url: str) -> None:
    fill(url, *FEW_BIG, record("unread", inode=3, size=5_000_000, fingerprint=None))
    told = invoke("duplicates", "--database-url", url).stdout.splitlines()
    assert told[-2].startswith("1 file was not compared: the catalog has no hashes of them")
    assert told[-1] == "1 group of 2 files wastes 5.0 MB."
    total = json.loads(invoke("duplicates", "--json", "--database-url", url).stdout.splitlines()[-1])
    assert total["total"]["unhashed"] == 1
    told = invoke("duplicates", "--min-size", "6MB", "--database-url", url).stdout.splitlines()
    assert told == ["No file of the catalog has a copy."]
