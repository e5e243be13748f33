"""What `check` found, as a person reads it."""

from __future__ import annotations

import pytest

from file_watcher.cli.findings import Finding, Mark, ok, problem, show, verdict, warning, worst

OK, WARNING, PROBLEM = ok("a", "well"), warning("b", "so so", "try"), problem("c", "bad", "mend it")


def test_a_finding_is_a_line_and_its_mend_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    for finding in (OK, WARNING, problem("d", "a\nb")):
        show(finding)
    assert capsys.readouterr().out.splitlines() == [
        "ok       a: well",
        "warning  b: so so",
        "           → try",
        "PROBLEM  d: a\\nb",
    ]


@pytest.mark.parametrize(
    ("findings", "mark", "words"),
    [
        ([], Mark.OK, "Everything is well."),
        ([OK, OK], Mark.OK, "Everything is well."),
        ([OK, WARNING], Mark.WARNING, "no problems, 1 warning."),
        ([PROBLEM, WARNING, OK, PROBLEM], Mark.PROBLEM, "2 problems, 1 warning."),
    ],
)
def test_the_verdict_counts_what_is_not_well(findings: list[Finding], mark: Mark, words: str) -> None:
    assert worst(findings) is mark
    assert verdict(findings) == words
