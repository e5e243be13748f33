"""Every setting is an option, and what is typed reaches the settings as it was typed."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from file_watcher.cli.application import app
from file_watcher.cli.options import EVERYTHING, WHERE, Given, panel_of, with_settings
from file_watcher.errors import UsageError
from file_watcher.settings import option_table

COMMANDS = ("run", "status", "sync", "scan", "approve", "consume", "check", "migrate")


class Taken:
    """A command that keeps what it was given."""

    def __init__(self) -> None:
        self.given: Given | None = None

    def __call__(self, *arguments: str) -> Given:
        def command(given: Given) -> int:
            self.given = given
            return 0

        one = typer.Typer(add_completion=False)
        one.command()(with_settings(EVERYTHING)(command))
        result = CliRunner().invoke(one, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert self.given is not None
        return self.given

    def value(self, key: str, *arguments: str) -> object:
        return self(*arguments).options[key]


def options_of(command: str) -> set[str]:
    registered = next(info for info in app.registered_commands if info.callback.__name__ == command)  # type: ignore[union-attr]
    return set(inspect.signature(registered.callback).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["run", "check"])
def test_every_setting_is_an_option(command: str) -> None:
    assert options_of(command) >= {info.key for info in option_table()} | {"config"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_told_where_things_are(command: str) -> None:
    assert options_of(command) >= WHERE | {"config"}


def test_what_is_typed_is_passed_on_as_text_and_the_rest_is_not_given() -> None:
    given = Taken()("--debounce-time", "500ms", "--rabbitmq-host", "broker")
    told = {key: value for key, value in given.options.items() if value is not None}
    assert told == {"debounce_time": "500ms", "rabbitmq_host": "broker"}
    assert given.options.keys() == EVERYTHING
    assert given.config_file is None


def test_a_list_that_is_given_twice_is_one_list() -> None:
    assert Taken().value("data_dir", "--data-dir", "/a:/b") == "/a:/b"
    assert Taken().value("data_dir", "--data-dir", "/a", "--data-dir", "/b") == ["/a", "/b"]
    assert Given({"data_dir": ["/a", "/b"]}, None).load().settings.roots == (Path("/a"), Path("/b"))


def test_a_configuration_file_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[file_watch]\nmax_wait = '7s'\n")
    assert Taken()("--config", str(file)).load().settings.watch.max_wait == 7.0


def test_an_option_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_HOST", "variable")
    loaded = Given({"rabbitmq_host": "option"}, None).load()
    assert loaded.settings.rabbitmq.host == "option"
    assert loaded.origins["rabbitmq_host"] == "option"


def test_all_problems_of_options_are_told_at_once_in_the_order_of_the_table() -> None:
    given = Taken()("--max-wait", "later", "--debounce-time", "soon", "--data-dir", ":")
    with pytest.raises(UsageError) as caught:
        given.load()
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "--data-dir",
        "--debounce-time",
        "--max-wait",
    ]


def test_the_help_names_variable_and_default_of_every_option_and_fits_into_80_columns() -> None:
    told = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).output
    assert max(len(line) for line in told.splitlines()) <= 80
    joined = "".join(told.replace("│", " ").split())
    for info in option_table():
        assert info.option in joined
        assert info.environment[0] in joined
    assert "INSTANCE_ID,elsemadeonce" in joined


def test_the_settings_of_the_broker_stand_together() -> None:
    panels = {info.key: panel_of(info) for info in option_table()}
    assert {panel for key, panel in panels.items() if key.startswith("rabbitmq_")} == {"RabbitMQ"}
    assert panels["data_dir"] != panels["debounce_time"] != panels["nice"]


def test_a_preset_is_a_word_and_two_are_passed_on_so_that_they_are_refused() -> None:
    assert Taken().value("preset", "--preset", "code") == "code"
    two = Taken()("--preset", "code", "--preset", "video")
    with pytest.raises(UsageError, match="only one preset can be the base"):
        two.load()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--preset", "code", "--preset", "video"), "only one preset"),
        (("--preset", "opera"), "music, video, documents, code or all"),
        (("--patterns", "[ab"), "bracket that is not closed"),
        (("--patterns", "x" * 10_000), "10000 characters"),
        (("--patterns", "!*.tmp"), "name first what is wanted"),
        (("--ignore-patterns", '["a\\u0000b"]'), "NUL"),
    ],
)
def test_a_preset_or_pattern_that_cannot_be_used_ends_with_clear_words(
    arguments: tuple[str, str], words: str
) -> None:
    result = CliRunner().invoke(app, ["check", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert len(result.output) < 500
