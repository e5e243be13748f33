"""Parent and child speak of the same state of a file."""

from __future__ import annotations

import os

import pytest

from file_watcher.model import FileStat
from file_watcher.processing.tags.identity import Identity

FAR = 1 << 80


@pytest.mark.parametrize("mtime_ns", [0, -1, 1_767_225_599_123_456_789, FAR, -FAR])
def test_the_child_sees_the_identity_that_the_parent_asked_for_even_of_files_from_beyond_all_times(
    mtime_ns: int,
) -> None:
    result = os.stat_result(
        (0o100644, 1 << 63, 5, 1, 0, 0, 4096, 0, 0, 0),
        {"st_mtime_ns": mtime_ns, "st_ctime_ns": -mtime_ns},
    )
    assert (result.st_mtime_ns, result.st_ctime_ns) == (mtime_ns, -mtime_ns)
    assert tuple(Identity.of(result)) == tuple(FileStat.of(result))
