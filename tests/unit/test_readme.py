"""What README.md says of settings and commands is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from file_watcher.cli import app
from file_watcher.settings import markdown_table

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_settings_is_the_one_that_the_settings_give() -> None:
    assert markdown_table().strip() in README.read_text()


_COMMANDS = README.read_text().partition("| command | |")[2].partition("\n\n")[0]


@pytest.mark.parametrize("command", re.findall(r"^\| `([a-z]+)[][ A-Z]*` \|", _COMMANDS, re.MULTILINE))
def test_every_command_that_it_names_exists(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
