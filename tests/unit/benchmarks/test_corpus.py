from __future__ import annotations

import os
from pathlib import Path

from tests.benchmarks.corpus import json_library, plain_library, tiny_library


def test_a_tiny_library_has_as_many_different_files_as_were_asked_for(tmp_path: Path) -> None:
    tiny_library(tmp_path, 2_045)

    files = list(tmp_path.rglob("*.json"))
    assert len({path.read_text() for path in files}) == len(files) == 2_045


def test_a_plain_library_lists_what_it_made(tmp_path: Path) -> None:
    paths = plain_library(tmp_path, 3, 20)

    assert paths == sorted(os.fsencode(path) for path in tmp_path.rglob("*.mp3"))
    assert len(paths) == 60


def test_no_two_trees_are_alike(tmp_path: Path) -> None:
    paths = json_library(tmp_path, 41)

    assert len({path.read_bytes() for path in paths}) == 41
