"""How a command ends: its exit code, and words instead of a traceback. Owns no thread.

Exit codes: 0 fine; 1 something is wrong, or away for now; 2 wrong use or configuration, which somebody has
to mend before the same command can succeed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
import typer

from file_watcher.cli.folding import folded
from file_watcher.errors import FileWatcherError, PermanentError, UsageError
from file_watcher.ops.log import configure
from file_watcher.ops.sanitize import escape_for_terminal

log = structlog.get_logger(__name__)

FINE: Final = 0
WRONG: Final = 1
MISUSED: Final = 2
_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


@dataclass(slots=True)
class Ending:
    """Filled in by the command; what it is while an exception passes does not count."""

    code: int = FINE


@contextmanager
def ended() -> Iterator[Ending]:
    """Around a command: ends it by typer.Exit with its code, whatever happened inside.

    Errors of ours are told in a line each, the unexpected is logged with its traceback.
    """
    configure("WARNING", "auto", "")
    ending = Ending()
    try:
        yield ending
    except FileWatcherError as exc:
        complain(*(exc.problems if isinstance(exc, UsageError) else (str(exc),)))
        ending.code = MISUSED if isinstance(exc, PermanentError) else WRONG
    except BrokenPipeError:  # whoever read our output has seen enough
        _forget_stdout()
        ending.code = FINE
    except KeyboardInterrupt:
        ending.code = _INTERRUPTED
    except Exception:
        log.exception("command_failed")
        ending.code = WRONG
    raise typer.Exit(ending.code)


def complain(*problems: str) -> None:
    """One line on standard error for each problem; a terminal sees long ones broken between words."""
    for problem in problems:
        # A path may hold a line break; a problem stays one line.
        line = f"file_watcher: {escape_for_terminal(problem)}"
        typer.echo(folded(line, sys.stderr, indent=2), err=True)


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere, instead of into the pipe that is closed."""
    stdout = sys.__stdout__
    if stdout is not None and sys.stdout is stdout:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
