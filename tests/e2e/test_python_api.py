"""The Python API as programs use it: what is told, of which folders, and the worked example."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from file_watcher import FileEvent, Watcher, WatcherError, WatcherStopped
from tests.support.people import People
from tests.support.tag_children import tag_children
from tests.support.waiting import wait_for
from tests.support.watchers import LONG, ROOT, brief, take, take_all

pause = threading.Event().wait
"""What paces the people; nothing is waited for with it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


# -- the worked example ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mirror_folder", ROOT / "examples" / "mirror_folder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_equal(mirror: Any) -> bool:
    """Whether both folders hold the same, and nothing is left to be mended."""
    try:
        return not mirror.differences() and not mirror._again
    except FileNotFoundError:  # the mirror just moved what was about to be read
        return False


@pytest.mark.parametrize("seed", [3, 11])
def test_the_example_keeps_an_equal_copy_of_a_folder_in_which_people_do_anything(
    folder: Path, tmp_path: Path, encoded_tones: Path, example: ModuleType, seed: int
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    people = People([folder], outside, encoded_tones / "tone.flac", seed)
    for _ in range(20):
        people.act()
    copy = tmp_path / "copy"
    copy.mkdir()
    mirror = example.Mirror(folder, copy)
    with Watcher(folder, catalog=tmp_path / "catalog.db") as watcher, ThreadPoolExecutor(1) as pool:
        following = pool.submit(example.follow, watcher, mirror)
        for number in range(160):
            people.act()
            pause(0.002 * (number % 7))
        people.finish()
        try:
            wait_for(lambda: is_equal(mirror), "an equal copy", 60, every=0.5)
        finally:
            watcher.stop()
            following.result(timeout=10)
    assert example.contents(folder) == example.contents(copy)
    assert example.contents(copy)


def test_the_example_says_in_words_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "mirror_folder.py"), "missing", str(tmp_path / "copy")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "watch 'missing': there is no such folder; make it first\n"


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (("data", "data"), "data and {0}/data are the same, or one lies in the other"),
        (("data", "data/sub/copy"), "data/sub/copy and {0}/data are the same, or one lies in the other"),
        (("data", "link/copy"), "data/copy and {0}/data are the same, or one lies in the other"),
        (("data", "."), " and {0}/data are the same, or one lies in the other"),
        (("data", "copy", "data/catalog.db"), "catalog.db lies in {0}/data: name a CATALOG outside"),
        (("data", "copy", "copy/catalog.db"), "catalog.db lies in {0}/copy: name a CATALOG outside"),
    ],
)
def test_the_example_copies_nothing_into_itself(
    folder: Path,
    tmp_path: Path,
    example: ModuleType,
    places: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        example, "follow", lambda _watcher, _mirror: None
    )  # a mirror that began would never end
    (tmp_path / "link").symlink_to(folder)
    assert example.main(*places) == 2
    assert told.format(tmp_path) in capsys.readouterr().err
    assert not [*folder.iterdir(), *tmp_path.glob("copy*")]


# -- what is told ------------------------------------------------------------------------------------


def test_what_is_there_is_told_first_and_then_every_change(folder: Path) -> None:
    (folder / "a.json").write_text("{}")
    with Watcher(folder, patterns=["*.json"]) as watcher:
        (created,) = take(watcher, 1)
        assert (created.kind, created.path, created.root) == ("created", folder / "a.json", folder)
        assert (created.operation, created.size, created.version) == ("put", 2, 1)
        assert created.hashes is not None
        assert created.hashes.sha256 == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        (folder / "a.json").write_text("[]")
        (folder / "a.txt").write_text("not wanted")
        assert list(map(brief, take(watcher, 1))) == ["modified a.json"]
        (folder / "a.json").rename(folder / "b.json")
        (renamed,) = take(watcher, 1)
        assert str(renamed) == f"renamed {folder}/a.json → {folder}/b.json"
        assert renamed.file_id == created.file_id
        (folder / "b.json").unlink()
        (deleted,) = take(watcher, 1)
        assert (deleted.kind, deleted.operation, deleted.hashes) == ("deleted", "delete", renamed.hashes)
        assert watcher.stats().taken == {"created": 1, "modified": 1, "renamed": 1, "deleted": 1}


def test_a_write_that_changes_nothing_is_not_told(folder: Path) -> None:
    (folder / "same").write_text("same")
    with Watcher(folder) as watcher:
        take(watcher, 1)
        (folder / "same").write_text("same")
        (folder / "same").chmod(0o600)
        (folder / "other").write_text("other")
        assert list(map(brief, take(watcher, 1))) == ["created other"]


def test_without_existing_only_what_changes_from_now_on_is_told(folder: Path) -> None:
    for name in ("old", "older"):
        (folder / name).write_text(name)
    with Watcher(folder, existing=False) as watcher:
        (folder / "new").write_text("new")
        (folder / "old").write_text("changed")
        assert sorted(map(brief, take(watcher, 2))) == ["created new", "modified old"]
        (folder / "older").unlink()
        assert list(map(brief, take(watcher, 1))) == ["deleted older"]


def test_a_name_that_is_no_text_is_told_by_its_bytes(folder: Path) -> None:
    path = folder / os.fsdecode(b"\xff\xfe.json")
    path.write_text("{}")
    with Watcher(folder) as watcher:
        (event,) = take(watcher, 1)
    assert event.path == path
    assert event.path.read_text() == "{}"
    assert str(event).isprintable()


def test_metadata_are_read_when_they_are_asked_for(folder: Path, encoded_tones: Path) -> None:
    (folder / "tone.flac").write_bytes((encoded_tones / "tone.flac").read_bytes())
    (folder / "data.json").write_text("{}")
    with Watcher(folder) as watcher:
        events = {event.path.name: event for event in take(watcher, 2)}
        assert tag_children() == []
        assert events["data.json"].metadata is None
        assert tag_children() == []
        metadata = events["tone.flac"].metadata
        assert metadata is not None
        assert metadata["tags"]["artist"] == "The Tones"
        assert len(tag_children()) == 1
        (folder / "tone.flac").unlink()
        (deleted,) = take(watcher, 1)
        assert deleted.metadata is None
        assert events["tone.flac"].metadata is metadata
        (folder / "late.flac").write_bytes((encoded_tones / "tone.flac").read_bytes())
        (late,) = take(watcher, 1)
    with pytest.raises(WatcherStopped):
        _ = late.metadata


# -- folders -----------------------------------------------------------------------------------------


def test_a_folder_that_is_added_joins_the_iteration_and_nothing_comes_twice(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "there").write_text("there")
    for number in range(20):
        (folder / str(number)).write_text(str(number))
    seen: list[FileEvent] = []
    with Watcher(folder) as watcher:
        for event in watcher.events(LONG):
            seen.append(event)
            if len(seen) == 5:
                watcher.watch(other)
                (other / "new").write_text("new")
                seen[0].path.rename(other / "moved")  # told already: so it is told as moved
            if len(seen) == 23:
                break
        assert next(watcher.events(1.0), None) is None
    assert len({event.event_id for event in seen}) == 23
    paths = {folder / str(number) for number in range(20)} | {
        other / name for name in ("there", "new", "moved")
    }
    assert {event.path for event in seen} == paths
    assert {event.root for event in seen} == {folder, other}


@pytest.mark.parametrize(
    ("name", "words", "cause"),
    [
        ("data", "watched already", None),
        ("data/inside", "as a part of", None),
        (".", "which is in it", None),
        ("link", "watched already", None),
        ("missing", "no such folder", FileNotFoundError),
        ("data/file", "not a folder", NotADirectoryError),
    ],
)
def test_a_folder_that_cannot_be_watched_is_refused_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, name: str, words: str, cause: type[Exception] | None
) -> None:
    (folder / "inside").mkdir()
    (folder / "file").write_text("file")
    (tmp_path / "link").symlink_to(folder)
    with Watcher(folder) as watcher:
        with pytest.raises(WatcherError, match=words) as caught:
            watcher.watch(tmp_path / name)
        assert (caught.value.op, caught.value.path) == ("watch", tmp_path / name)
        assert cause is None or isinstance(caught.value.__cause__, cause)
        assert list(map(brief, take(watcher, 1))) == ["created file"]
        with pytest.raises(WatcherError):
            Watcher(folder, tmp_path / name).start()


def test_several_watchers_at_once_do_not_meet_even_where_they_watch_their_own_catalogs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Watcher(tmp_path) as one, Watcher(tmp_path) as two:
        (tmp_path / "file").write_text("file")
        for watcher in (one, two):
            assert list(map(brief, take_all(watcher, 1))) == ["created file"]
    assert os.listdir(tmp_path) == ["file"]


def test_stats_say_how_each_folder_is_kept(folder: Path, tmp_path: Path) -> None:
    watcher = Watcher(folder)
    assert not watcher.stats().running
    with watcher:
        wait_for(lambda: watcher.stats().healthy, "the folder to be watched")
        assert [(root.path, root.state) for root in watcher.stats().roots] == [(folder, "watched")]
        folder.rename(tmp_path / "elsewhere")
        wait_for(lambda: not watcher.stats().healthy, "its loss to be noticed")
        assert watcher.stats().roots[0].state != "watched"
        (tmp_path / "elsewhere").rename(folder)
        wait_for(lambda: watcher.stats().healthy, "it to be watched again")
    assert not watcher.stats().running


# -- the buffer --------------------------------------------------------------------------------------


def test_a_slow_program_slows_the_reader_and_gets_everything(folder: Path) -> None:
    for number in range(1_000):
        (folder / f"{number}").write_text(f"{number}")
    with Watcher(folder, buffer=20, settings={"batch_size": 16}) as watcher:
        first = take(watcher, 1)
        waiting = [-1]

        def is_at_rest() -> bool:
            waiting.append(watcher.stats().waiting or 0)
            return len(waiting) > 10 and len(set(waiting[-10:])) == 1

        wait_for(is_at_rest, "nothing more to be read", every=0.1)
        assert 20 <= waiting[-1] < 200
        assert len({event.path for event in first + take(watcher, 999)}) == 1_000
