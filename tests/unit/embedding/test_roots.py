from __future__ import annotations

import os
from pathlib import Path

import pytest

from file_watcher.embedding.errors import WatcherError
from file_watcher.embedding.roots import root_of


def test_a_folder_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert root_of(tmp_path / "link", []) == tmp_path / "data"
    assert root_of(os.fsencode(tmp_path / "data") + b"/", []) == tmp_path / "data"


def test_a_name_that_only_begins_like_another_is_another_folder(tmp_path: Path) -> None:
    for name in ("data", "data2"):
        (tmp_path / name).mkdir()
    assert root_of(tmp_path / "data2", [tmp_path / "data"]) == tmp_path / "data2"


def test_a_folder_that_may_not_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    with pytest.raises(WatcherError, match="may not list it") as caught:
        root_of(tmp_path, [])
    assert isinstance(caught.value.__cause__, PermissionError)


def test_a_loop_of_links_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(WatcherError, match="cannot be looked at") as caught:
        root_of(tmp_path / "loop", [])
    assert caught.value.path == tmp_path / "loop"
