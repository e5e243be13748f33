from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.importing import Ideal, Import, timing
from tests.benchmarks.subject import Subject
from tests.benchmarks.trust import Untrue
from tests.support.service import ServiceProcess

SECOND = 1_000_000_000


class Recorded(Subject):
    """A subject whose catalog answers with these groups of confirms: when, and how many."""

    groups: Sequence[tuple[int, int]] = ()

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        return list(self.groups)


def recorded(folder: Path, *groups: tuple[int, int]) -> Recorded:
    service = ServiceProcess(folder, folder, "amqp://localhost", "exchange")
    made = Recorded(service, folder, "exchange", folder / "catalog.sqlite3", lambda: 0)
    object.__setattr__(made, "groups", groups)
    return made


def test_a_rate_counts_what_was_confirmed_after_the_first_group(tmp_path: Path) -> None:
    tried = recorded(tmp_path, (3 * SECOND, 20), (4 * SECOND, 50), (5 * SECOND, 30))

    assert timing(tried, 100, SECOND) == Import(40.0, 2.0, 4.0)


@pytest.mark.parametrize("groups", [((3 * SECOND, 100),), ((3 * SECOND, 51), (4 * SECOND, 49))])
def test_confirms_that_were_mostly_recorded_at_once_tell_no_rate(
    tmp_path: Path, groups: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(Untrue, match="too few files to tell a rate"):
        timing(recorded(tmp_path, *groups), 100, 0)


def test_the_ideal_is_one_threads_time_shared_by_all_cores() -> None:
    assert Ideal(hash_seconds=3.0, tag_seconds=1.0).files_per_second(200, cores=2) == pytest.approx(100.0)
