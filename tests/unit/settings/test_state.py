"""The state folder, and the name that an instance keeps in it."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from file_watcher.errors import UsageError
from file_watcher.settings import Settings, instance_id, prepare_state_folder, state_folder
from file_watcher.settings.state import config_file


def test_the_folders_are_the_ones_that_the_environment_names(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "s"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
    assert state_folder(environ) == tmp_path / "s" / "file_watcher"
    assert config_file(environ) == tmp_path / "c" / "file_watcher" / "file_watcher.toml"


def test_without_a_name_the_state_folder_is_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder({"XDG_STATE_HOME": "relative"}) == tmp_path / ".local/state/file_watcher"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: Path("~/.local/state") / name)
    with pytest.raises(UsageError, match="XDG_STATE_HOME"):
        state_folder({})


def test_the_state_folder_is_made_for_its_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    prepare_state_folder(folder)
    prepare_state_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_a_state_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="set XDG_STATE_HOME or DATABASE_URL"):
        prepare_state_folder(tmp_path / "file" / "state")


def test_a_state_folder_that_cannot_be_written_to_is_refused() -> None:
    # No user, root included, makes files in there: as on a disk that is mounted read-only.
    with pytest.raises(UsageError, match="cannot be written to"):
        prepare_state_folder(Path("/proc/self"))


def test_a_name_is_made_once_and_kept(tmp_path: Path) -> None:
    name = instance_id(Settings(), tmp_path)
    assert re.fullmatch("[a-z0-9]{8}", name)
    assert instance_id(Settings(), tmp_path) == name
    assert os.listdir(tmp_path) == ["instance_id"]


def test_a_name_that_is_set_is_used_and_none_is_made(tmp_path: Path) -> None:
    assert instance_id(Settings(instance_id="nas"), tmp_path) == "nas"
    assert os.listdir(tmp_path) == []


def test_many_who_start_at_once_get_one_name(tmp_path: Path) -> None:
    barrier, names = threading.Barrier(8), []

    def start() -> None:
        barrier.wait(5)
        names.append(instance_id(Settings(), tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(names) == 8
    assert len(set(names)) == 1


@pytest.mark.parametrize("content", [b"", b"a b", b"\xff", b"x" * 65])
def test_a_name_that_somebody_broke_is_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instance_id").write_bytes(content)
    with pytest.raises(UsageError, match="delete the file, or set INSTANCE_ID"):
        instance_id(Settings(), tmp_path)


def test_a_name_that_cannot_be_kept_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set INSTANCE_ID"):
        instance_id(Settings(), tmp_path / "missing")
