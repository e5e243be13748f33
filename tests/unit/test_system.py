"""Other systems: what is Linux's alone is neither imported nor used there, and hints are no promise."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from file_watcher import system
from tests.support.other_system import ONLY_ON_LINUX

PROJECT = Path(__file__).parents[2]


def elsewhere(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run something in a process that looks like another system (see the program)."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.other_system", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["darwin", "win32"])
def test_every_module_can_be_imported_on_another_system(name: str) -> None:
    finished = elsewhere(name)
    assert (finished.stdout, finished.stderr, finished.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", ["darwin", "win32"])
def test_the_commands_can_be_asked_for_on_another_system(name: str) -> None:
    finished = elsewhere(name, "file_watcher", "--help")
    assert finished.returncode == 0, finished.stderr
    assert "check" in finished.stdout


def test_the_modules_that_are_linuxs_alone_are_those_that_are_named() -> None:
    """The program must notice an import that should not be: those modules do not import elsewhere."""
    for name in ONLY_ON_LINUX - {"file_watcher.watching.canary"}:
        finished = elsewhere("darwin", name)
        assert "No module named 'watchdog.observers.inotify" in finished.stderr, name


def test_a_lock_is_held_until_the_descriptor_is_closed_and_its_holder_is_known(tmp_path: Path) -> None:
    script = (
        "import os, sys; from file_watcher.system import READING, lock;"
        "lock(os.open(sys.argv[1], READING | os.O_RDWR | os.O_CREAT)); print(os.getpid(), flush=True);"
        "sys.stdin.read()"
    )
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", script, file],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        holder = int(other.stdout.readline())
        descriptor = os.open(file, os.O_RDWR)
        try:
            assert system.lock_holder(descriptor) == holder == other.pid
            with pytest.raises(OSError, match=r".*"):
                system.lock(descriptor)
            other.communicate("", timeout=30)
            assert system.lock_holder(descriptor) is None
            system.lock(descriptor)
        finally:
            os.close(descriptor)


def test_without_readv_as_much_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abcdef")
    read = []
    for name in ("linux", "win32"):
        monkeypatch.setattr(sys, "platform", name)
        buffer = memoryview(bytearray(4))
        descriptor = os.open(file, system.READING)
        try:
            counts = [system.read_into(descriptor, (buffer,)) for _ in range(3)]
        finally:
            os.close(descriptor)
        read.append((counts, bytes(buffer)))
    assert read == [([4, 2, 0], b"efcd")] * 2


def test_where_a_system_has_no_such_thing_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "nice", None)
    system.lower_priority(5)
    system.limit_memory(1)
    folder = os.fsencode(tmp_path)
    assert system.filesystem_id(folder) == os.stat(folder).st_dev
    descriptor = os.open(folder, system.FOLDER)
    try:
        assert system.inode_flags(descriptor) == 0
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", ["linux", "win32"])
def test_a_new_file_gets_its_name_only_where_there_is_none_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "platform", name)
    if name == "win32":  # where rename replaces nothing
        monkeypatch.setattr(os, "rename", _rename_of_windows)
    target = tmp_path / "target"
    for content in ("first", "second"):
        draft = tmp_path / content
        draft.write_text(content)
        if content == "first":
            system.place_new(str(draft), str(target))
        else:
            with pytest.raises(FileExistsError):
                system.place_new(str(draft), str(target))
    assert target.read_text() == "first"


def _rename_of_windows(source: str, target: str) -> None:
    os.link(source, target)
    os.unlink(source)


class JunctionOrFolder:
    """An entry of a listing on Windows, as far as is asked of it."""

    def __init__(self, path: bytes, *, is_junction: bool) -> None:
        self.path = path
        self.st_reparse_tag = 0xA000_0003 if is_junction else 0

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        assert not follow_symlinks
        return True

    def stat(self, *, follow_symlinks: bool) -> JunctionOrFolder:
        assert not follow_symlinks
        return self


def test_on_windows_a_junction_is_no_folder_to_walk_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    kinds = [JunctionOrFolder(b"C:/m/x", is_junction=each) for each in (True, False)]
    assert [system.is_plain_folder(each) for each in kinds] == [False, True]  # type: ignore[arg-type]


def test_what_is_listed_is_spelled_as_inside_and_has_an_inode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "link").symlink_to("a")
    folder = os.fsencode(tmp_path)
    for name, listed in (("linux", folder), ("win32", folder + b"/")):
        monkeypatch.setattr(sys, "platform", name)
        assert system.to_list(folder) == listed
        with os.scandir(listed) as entries:
            found = {entry.path: entry for entry in entries}
        assert found.keys() == {folder + b"/a", folder + b"/link"}
        file, link = (os.lstat(tmp_path / each).st_ino for each in ("a", "link"))
        asked = [
            system.stat_entry(found[folder + b"/link"], follow_symlinks=follow).st_ino
            for follow in (False, True)
        ]
        assert asked == [link, file]
    assert system.to_list(b"C:/") == b"C:/"


def test_the_clock_that_counts_sleep_runs_on_and_is_asked_of_the_system_where_python_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = system.boot_seconds()
    assert before <= system.boot_seconds()
    assert before == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)

    monkeypatch.setattr(sys, "platform", "darwin")
    assert system.boot_seconds() == pytest.approx(time.clock_gettime(time.CLOCK_MONOTONIC), abs=5)
    monkeypatch.setattr(sys, "platform", "win32")
    assert system.boot_seconds() == pytest.approx(time.monotonic(), abs=5)
