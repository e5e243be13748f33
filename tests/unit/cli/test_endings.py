"""A command ends with a code and words, never with a traceback for what somebody can mend."""

from __future__ import annotations

import pytest
import typer

from file_watcher.cli.endings import complain, ended
from file_watcher.errors import (
    BrokerUnavailable,
    CatalogBusy,
    CatalogError,
    CatalogUnavailable,
    FileWatcherError,
    PermanentError,
    UsageError,
)


def code_of(error: BaseException | None, code: int = 0) -> int:
    def command() -> None:
        with ended() as ending:
            ending.code = code
            if error is not None:
                raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    return caught.value.exit_code


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_ends_with_its_own_code(code: int) -> None:
    assert code_of(None, code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (CatalogBusy("x"), 2),
        (CatalogError("x"), 2),
        (PermanentError("x"), 2),
        (CatalogUnavailable("x"), 1),
        (BrokerUnavailable("x"), 1),
        (FileWatcherError("x"), 1),
        (BrokenPipeError(), 0),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_what_somebody_must_mend_first_is_2_and_what_may_pass_is_1(error: BaseException, code: int) -> None:
    assert code_of(error) == code


def test_every_problem_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(UsageError("first", "a name\nwith a break \x1b[31m"))
    captured = capsys.readouterr()
    assert captured.err == "file_watcher: first\nfile_watcher: a name\\nwith a break \\x1b[31m\n"
    assert captured.out == ""


def test_the_unexpected_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(ZeroDivisionError("by nought")) == 1
    told = capsys.readouterr().err
    assert "command_failed" in told
    assert "by nought" in told


def test_an_interrupt_and_a_reader_that_left_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(KeyboardInterrupt())
    code_of(BrokenPipeError())
    assert capsys.readouterr() == ("", "")


def test_nothing_to_complain_about_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    complain()
    assert capsys.readouterr().err == ""
