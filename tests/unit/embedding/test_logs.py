from __future__ import annotations

import logging

import pytest

from file_watcher import circuit
from file_watcher.embedding.logs import loan


@pytest.fixture
def before() -> object:
    return circuit.log


def test_while_a_watcher_runs_our_modules_log_to_the_standard_library(
    before: object, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    loan.begin()
    loan.begin()
    try:
        loan.end()
        with caplog.at_level(logging.INFO, "file_watcher"):
            circuit.log.info("circuit_closed", path="100%s")
            circuit.log.debug("not_wanted")
    finally:
        loan.end()
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("file_watcher.circuit", "circuit_closed path='100%s'")
    ]
    assert circuit.log is before
    assert capfd.readouterr() == ("", "")


def test_a_traceback_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    loan.begin()
    try:
        try:
            raise LookupError("lost")
        except LookupError:
            circuit.log.exception("it_failed", number=1)
    finally:
        loan.end()
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "it_failed number=1")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_nobody_who_did_not_ask_sees_anything(capfd: pytest.CaptureFixture[str]) -> None:
    loan.begin()
    try:
        logger = logging.getLogger("file_watcher")
        assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
        assert logger.level == logging.NOTSET
    finally:
        loan.end()
    assert capfd.readouterr() == ("", "")
