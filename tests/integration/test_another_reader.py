"""A reader for another kind of content is one file and one line, and runs within the same limits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import file_watcher

FILE = """
from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader

class _Poems(MetadataReader):
    def recognise(self, beginning):
        return Claim("text/x-poem", "poem") if beginning.header.startswith(b"POEM ") else None

    def read(self, file, medium):
        title = file.readline().removeprefix(b"POEM ").decode().strip()
        if title == "endless":
            while True:
                pass
        if title == "huge":
            bytes(1 << 40)
        medium.tags.append(("title", title))

READER = _Poems()
"""
LINE = '    Registered("poem", ".poem .txt"),\n'

PROGRAM = """
import json, os, sys
from pathlib import Path
from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat
from file_watcher.processing.tags.formats import wants_tags
from file_watcher.processing.tags.pool import TagReader
paths = [path for path in map(os.fsencode, sys.argv[1:]) if wants_tags(path)]
reader = TagReader(1, 256_000_000, 1.0, on_failure=lambda *_: None)
reader.start()
try:
    futures = [reader.submit(path, FileStat.of(os.stat(path))) for path in paths]
    answers = [future.result(60) for future in futures]
finally:
    reader.close()
    assert reader.join(Deadline(10))
print(json.dumps({os.path.basename(path).decode(): answer for path, answer in zip(paths, answers)}))
"""


@pytest.fixture
def with_the_reader(tmp_path: Path) -> Path:
    """Where a copy of the package lies that has one file and one line more."""
    copy = tmp_path / "source"
    package = copy / "file_watcher"
    shutil.copytree(Path(file_watcher.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "processing/tags/readers/poem.py").write_text(FILE)
    registry = package / "processing/tags/formats.py"
    before, start, after = registry.read_text().partition("REGISTRY: Final = (\n")
    assert start
    registry.write_text(before + start + LINE + after)
    return copy


def read(source: Path, *paths: Path) -> dict[str, Any]:
    # What is run is a copy: it must not count as lines of ours that no test reaches.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *map(str, paths)],
        env={**ours, "PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answers: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answers


def test_another_reader_is_one_file_and_one_line_and_keeps_the_limits(
    with_the_reader: Path, tmp_path: Path
) -> None:
    poems = {
        "ode.poem": "POEM Ode\n",
        "plain.txt": "prose",
        "endless.poem": "POEM endless",
        "huge.txt": "POEM huge",
    }
    for name, text in poems.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "data.json").write_text("POEM of no name that is read")
    answers = read(with_the_reader, *(tmp_path / name for name in [*poems, "data.json"]))
    assert answers.keys() == poems.keys()
    ode = answers["ode.poem"]
    assert (ode["format"], ode["file_type"], ode["tags"]) == ("text/x-poem", "poem", {"title": "Ode"})
    assert "no kind of media that is known" in answers["plain.txt"]["error"]
    assert "took longer than 1 s" in answers["endless.poem"]["error"]
    assert "more memory than the 256 MB" in answers["huge.txt"]["error"]
