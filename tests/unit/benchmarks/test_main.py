from __future__ import annotations

import sys

import pytest

from tests.benchmarks import __main__ as command


def test_a_name_that_no_benchmark_has_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "hash", "import-songz"])

    with pytest.raises(SystemExit) as refused:
        command.main()

    assert refused.value.code == 2
    message = capsys.readouterr().err
    assert "no benchmark is named import-songz" in message
    assert all(name in message for name in command.ROWS)
