"""Commands run inside of the test's process, with its log and signals put back as they were afterwards."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from file_watcher.cli import app

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what a command did to the process-wide logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("file_watcher").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


@pytest.fixture(autouse=True)
def kept_signals() -> Iterator[None]:
    """Probing for writers ignores SIGIO for the whole process, and a child that is started later inherits that."""
    before = signal.getsignal(signal.SIGIO)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def invoke() -> Invoke:
    """Run a command; what it ended with, printed and complained."""

    def run(*arguments: object, **environment: str) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return run
