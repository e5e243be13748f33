"""`verify`: what it tells of real files, where it goes on, and what it refuses. Signals are tested with processes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.store import CatalogStore
from file_watcher.cli import verifying
from file_watcher.cli.verify_place import Place, PlaceFile
from file_watcher.model import FileRecord, uuid7
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.settings import state_folder
from file_watcher.watching.sight import identify_root
from tests.support.catalog import opened
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Four files of ten bytes."""
    folder = tmp_path / "music"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/d"):
        (folder / name).write_bytes(name.encode().ljust(10, b"."))
    return folder


@pytest.fixture
def catalog(url: str, library: Path) -> Iterator[Database]:
    """Knows the library as it is."""
    with opened(url) as database:
        learn(database, library)
        yield database


def learn(database: Database, folder: Path, **state: Any) -> None:
    """Catalogue what is in the folder."""
    rows, identity = Libraries(database), identify_root(os.fsencode(folder))
    known = rows.ensure_library(os.fsencode(folder))
    values: dict[str, Any] = {
        "root_inode": identity.inode,
        "fsid": str(identity.fsid),
        "root_device": identity.device,
    }
    rows.save_library_state(LibraryState(known.id, **(values | state)))
    store, reader = CatalogStore(database), Fingerprinter(lambda: False)
    store.own([known])
    store.set_root_device(known.id, identity.device)
    records = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        reading = reader.read(os.fsencode(path))
        records.append(FileRecord(os.fsencode(path), known.id, uuid7(), 1, reading.stat, reading.fingerprint))
    store.commit(Batch(inserts=tuple(records)))


def damage(file: Path) -> None:
    """Flip a bit and put the mtime back."""
    before, content = file.stat(), bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def forge(database: Database, file: Path) -> None:
    """The catalog has another hash than the file, whose times say that nobody wrote."""
    with database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE fw_files SET sha256 = zeroblob(32) WHERE path = ?", (os.fsencode(file),)
        )


def verify(invoke: Invoke, url: str, *arguments: object) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Exit code, findings and summary."""
    result = invoke("verify", *arguments, "--json", "--database-url", url)
    assert result.stderr == ""
    *findings, last = (json.loads(line) for line in result.stdout.splitlines())
    return result.exit_code, findings, last["summary"]


def told(findings: list[dict[str, Any]]) -> Mapping[str, str]:
    return {Path(finding["path"]).name: finding["verdict"] for finding in findings}


def everything(database: Database) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM fw_files ORDER BY id")]


@pytest.mark.usefixtures("catalog")
def test_a_library_that_is_as_it_was_told_is_intact(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("verify", "--database-url", url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("4 of 4 files are intact (40 B in 0.")
    assert list(state_folder(os.environ).glob("verify*")) == []


def test_each_kind_of_finding_is_told_apart(
    invoke: Invoke, url: str, library: Path, catalog: Database
) -> None:
    damage(library / "a")
    forge(catalog, library / "b")
    (library / "sub" / "c").write_bytes(b"written in the ordinary way")
    (library / "sub" / "d").unlink()
    before = everything(catalog)
    code, findings, summary = verify(invoke, url)
    assert code == 1
    assert told(findings) == {"a": "altered", "b": "corrupt", "c": "changed", "d": "missing"}
    counts = {key: summary[key] for key in ("files", "intact", "corrupt", "altered", "changed", "missing")}
    assert counts == {"files": 4, "intact": 0, "corrupt": 1, "altered": 1, "changed": 1, "missing": 1}
    assert findings[1]["expected"]["sha256_hash"] == "0" * 64
    assert findings[1]["found"] == {
        **findings[1]["expected"],
        "sha256_hash": findings[1]["found"]["sha256_hash"],
    }
    assert everything(catalog) == before


def test_a_person_is_told_what_to_do_on_80_columns(
    invoke: Invoke, url: str, library: Path, catalog: Database
) -> None:
    damage(library / "a")
    forge(catalog, library / "b")
    (library / "sub" / "d").unlink()
    result = invoke("verify", "--database-url", url)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[:2] == [f"ALTERED     {library}/a", f"CORRUPT     {library}/b"]
    assert lines[2].startswith("1 of 4 files are intact")
    assert max(map(len, lines[2:])) <= 80
    words = " ".join(" ".join(lines[3:]).split())
    assert "1 corrupt other bytes, though size and times are the same: restore it from a backup" in words
    assert "`scan` tells it where that was meant; else restore it" in words
    assert "1 missing gone, not told yet" in words


def test_changes_that_the_service_will_tell_are_no_damage(
    invoke: Invoke, url: str, library: Path, catalog: Database
) -> None:
    (library / "a").write_bytes(b"new content")
    (library / "b").unlink()
    assert verify(invoke, url)[0] == 0


def test_a_library_or_a_folder_can_be_verified_alone(
    invoke: Invoke, url: str, library: Path, catalog: Database, tmp_path: Path
) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "z").write_bytes(b"z")
    learn(catalog, tmp_path / "books")
    assert verify(invoke, url)[2]["files"] == 5
    assert verify(invoke, url, "books")[2]["files"] == 1
    assert verify(invoke, url, "--path", library / "sub")[2]["files"] == 2
    assert verify(invoke, url, "--path", library / "a")[2]["files"] == 1
    assert verify(invoke, url, "--path", tmp_path)[2]["files"] == 5


@pytest.mark.usefixtures("catalog")
def test_a_path_where_no_file_can_be_verified_is_not_said_to_be_intact(
    invoke: Invoke, url: str, library: Path, catalog: Database, tmp_path: Path
) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "z").write_bytes(b"z")
    learn(catalog, tmp_path / "books")
    (library / "new").write_bytes(b"not told yet")
    (tmp_path / "link").symlink_to(library)

    def refused(*arguments: object) -> str:
        result = invoke("verify", *arguments, "--database-url", url)
        assert (result.exit_code, result.stdout) == (2, "")
        return " ".join(result.stderr.split())

    both = f"books ({tmp_path}/books), music ({library})"
    assert f"/etc lies outside of {both}; give a path inside" in refused("--path", "/etc")
    assert f"{library} lies outside of books ({tmp_path}/books)" in refused("books", "--path", library)
    assert f"no file at or below {library}/new, so" in refused("--path", library / "new")
    assert f"no file at or below {tmp_path}/link/typo" in refused(
        "music", "--path", tmp_path / "link" / "typo"
    )
    assert verify(invoke, url, "--path", tmp_path / "link" / "sub")[2]["files"] == 2


# going on


def place_file(url: str, *paths: bytes) -> PlaceFile:
    return PlaceFile(state_folder(os.environ), url.removeprefix("sqlite:///"), [1], paths)


def stopped_before_c(url: str, library: Path) -> None:
    """An earlier run came to `b`, and had found that `a` is corrupt."""
    found = {"verdict": "corrupt", "path": f"{library}/a", "library": "music", "detail": None}
    counts = Counter({"intact": 1, "corrupt": 1})
    place_file(url).save(Place(1, os.fsencode(library / "b"), 20, 60.0, counts, [found]))


@pytest.mark.usefixtures("catalog")
def test_it_goes_on_where_it_was_stopped_and_the_result_is_whole(
    invoke: Invoke, url: str, library: Path
) -> None:
    stopped_before_c(url, library)
    damage(library / "b")  # was verified before, and is not read again
    code, findings, summary = verify(invoke, url)
    assert code == 1
    assert told(findings) == {"a": "corrupt"}
    assert (summary["files"], summary["intact"], summary["corrupt"], summary["bytes"]) == (4, 3, 1, 40)
    assert summary["seconds"] >= 60
    assert place_file(url).load() is None


@pytest.mark.usefixtures("catalog")
def test_it_begins_anew_where_that_is_wished(invoke: Invoke, url: str, library: Path) -> None:
    stopped_before_c(url, library)
    code, findings, summary = verify(invoke, url, "--restart")
    assert (code, findings, summary["files"], summary["intact"]) == (0, [], 4, 4)


@pytest.mark.usefixtures("catalog")
def test_the_place_of_another_question_is_not_gone_on_from(invoke: Invoke, url: str, library: Path) -> None:
    stopped_before_c(url, library)
    assert verify(invoke, url, "--path", library)[2]["files"] == 4
    assert place_file(url).load() is not None


@pytest.mark.usefixtures("catalog")
def test_the_place_is_kept_while_it_works(
    invoke: Invoke, url: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Place] = []
    save = PlaceFile.save

    def noting(self: PlaceFile, place: Place) -> None:
        save(self, place)
        seen = self.load()
        assert seen is not None
        kept.append(seen)

    monkeypatch.setattr(verifying, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(PlaceFile, "save", noting)
    damage(library / "a")
    assert verify(invoke, url)[0] == 1
    assert [Path(os.fsdecode(place.after)).name for place in kept] == ["a", "b", "c", "d"]
    assert [place.files for place in kept] == [1, 2, 3, 4]
    assert [len(place.damage) for place in kept] == [1, 1, 1, 1]


@pytest.mark.usefixtures("catalog")
def test_a_place_that_cannot_be_kept_costs_a_warning(
    invoke: Invoke, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_KEEP_SECONDS", 0.0)
    (tmp_path / "state").write_bytes(b"no folder")
    result = invoke("verify", "--database-url", url)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "warning: Where it stands cannot be kept in" in line


# what it refuses


def test_a_suspended_library_is_refused(invoke: Invoke, url: str, library: Path) -> None:
    with opened(url) as database:
        learn(database, library, state="suspended", reason="the folder is not there")
    result = invoke("verify", "--database-url", url)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "Library music is suspended (the folder is not there)" in result.stderr
    assert "bring it back, or `approve` what is missing, then verify" in result.stderr


@pytest.mark.usefixtures("catalog")
def test_another_folder_in_the_place_of_the_library_is_refused(
    invoke: Invoke, url: str, library: Path
) -> None:
    library.rename(library.with_name("elsewhere"))
    gone = invoke("verify", "--database-url", url)
    assert (gone.exit_code, "is away" in gone.stderr) == (2, True)
    library.mkdir()
    other = invoke("verify", "--database-url", url)
    assert (other.exit_code, "is not what was watched at" in other.stderr) == (2, True)


def test_of_several_libraries_those_that_are_there_are_named(
    invoke: Invoke, url: str, library: Path, catalog: Database, tmp_path: Path
) -> None:
    (tmp_path / "books").mkdir()
    learn(catalog, tmp_path / "books", state="suspended", reason="the disk is away")
    result = invoke("verify", "--database-url", url)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1] == "file_watcher: Or name the one to verify; there: music"
    assert invoke("verify", "music", "--database-url", url).exit_code == 0


def test_a_library_that_goes_away_meanwhile_ends_it_and_the_place_is_kept(
    invoke: Invoke, url: str, library: Path, catalog: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Fingerprinter.read

    def unplugged(self: Fingerprinter, path: bytes, *, follow_symlinks: bool = False) -> Any:
        result = read(self, path, follow_symlinks=follow_symlinks)
        if path.endswith(b"/a"):
            library.rename(library.with_name("unplugged"))
        return result

    monkeypatch.setattr(Fingerprinter, "read", unplugged)
    result = invoke("verify", "--json", "--database-url", url)
    assert result.exit_code == 2
    assert "Library music is away" in result.stderr
    assert result.stdout == ""
    place = place_file(url).load()
    assert place is not None
    assert (place.after, place.counts) == (os.fsencode(library / "a"), {"intact": 1})


@pytest.mark.parametrize("rate", ["50", "fast", "-1MB", "10B"])
def test_a_rate_that_is_none_is_refused(invoke: Invoke, url: str, catalog: Database, rate: str) -> None:
    result = invoke("verify", f"--limit-rate={rate}", "--database-url", url)
    assert result.exit_code == 2
    assert f"--limit-rate '{rate}' is no rate; such as 500kB, 50MB or off (per second)" in result.stderr


@pytest.mark.usefixtures("catalog")
def test_rates_are_taken_from_the_settings_unless_given(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    class Noting:
        def __init__(self, rate: float, _wait: object) -> None:
            rates.append(rate)

        def __call__(self, _size: int) -> None:
            pass

    monkeypatch.setattr("file_watcher.processing.read_limit.ReadLimit", Noting)
    limit = {"FILE_WATCH_READ_RATE_LIMIT": "7"}
    for arguments in ((), ("--limit-rate", "50MB"), ("--limit-rate", "off")):
        assert invoke("verify", *arguments, "--database-url", url, **limit).exit_code == 0
    assert rates == [7e6, 50e6]
