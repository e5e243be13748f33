"""Shell completion: the scripts, and what a shell gets when it asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke


def completed(words: str, **environment: str) -> list[str]:
    """What bash would offer for the last word."""
    asked = {"_FILE_WATCHER_COMPLETE": "complete_bash", "COMP_WORDS": words}
    asked["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    told = subprocess.run(
        [sys.executable, "-m", "file_watcher"],
        env={**os.environ, **asked, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr == ""
    return told.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_and_nothing_is_installed(
    invoke: Invoke, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert "file-watcher" in result.stdout
    assert "_FILE_WATCHER_COMPLETE" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_bash_takes_the_script(invoke: Invoke) -> None:
    script = invoke("completion", "bash").stdout + "complete -p file-watcher\n"
    told = subprocess.run(["bash", "--norc"], input=script, capture_output=True, text=True, check=True)
    assert told.stdout == "complete -o default -F _file_watcher_completion file-watcher\n"


def test_another_shell_is_refused(invoke: Invoke) -> None:
    result = invoke("completion", "tcsh")
    assert result.exit_code == 2
    assert "tcsh" in result.stderr
    assert "fish" in result.stderr


def test_commands_options_and_words_are_completed() -> None:
    assert {"run", "status", "events", "verify", "duplicates"} <= set(completed("file-watcher "))
    assert completed("file-watcher ver") == ["verify"]
    assert completed("file-watcher verify --re") == ["--restart"]
    assert completed("file-watcher events --state w") == ["waiting"]
    assert completed("file-watcher events --type library.s") == ["library.suspended", "library.scanned"]
