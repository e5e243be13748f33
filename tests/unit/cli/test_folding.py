"""Long lines are broken between words on a terminal, and nowhere else."""

from __future__ import annotations

import io

import pytest

from file_watcher.cli.folding import folded

TEXT = "the catalog /home/somebody/music/catalog.sqlite3 cannot be used, so name another one"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "48")


def test_a_terminal_sees_whole_words_in_lines_that_fit() -> None:
    lines = folded(TEXT, Terminal(), indent=4, taken=14).splitlines()
    assert " ".join(line.strip() for line in lines) == TEXT
    assert len(lines[0]) <= 48 - 14
    assert all(len(line) <= 48 and line.startswith("    ") for line in lines[1:])


def test_a_path_is_never_broken_though_it_does_not_fit() -> None:
    path = "/x" * 40
    assert folded(f"see {path} now", Terminal(), indent=2).splitlines() == ["see", f"  {path}", "  now"]


def test_whoever_is_no_terminal_gets_one_line() -> None:
    assert folded(TEXT, io.StringIO(), indent=4) == TEXT


def test_on_a_very_narrow_terminal_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert folded(TEXT, Terminal(), indent=4) == TEXT
