"""What it means that a file with this stat has these hashes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from file_watcher.model import FileStat, Fingerprint
from file_watcher.processing.integrity import DAMAGE, Verdict, judge, was_written
from tests.support.catalog import record

ROW = record("a.mp3")
OTHER = Fingerprint(b"o" * 32, b"o" * 16)


def test_equal_hashes_are_intact_whatever_ctime_and_device_say() -> None:
    assert ROW.fingerprint is not None
    assert judge(ROW, ROW.stat, ROW.fingerprint) is Verdict.INTACT
    touched = ROW.stat._replace(ctime_ns=ROW.stat.ctime_ns + 1, device=5)
    assert judge(ROW, touched, ROW.fingerprint) is Verdict.INTACT


def test_other_bytes_behind_the_same_stat_are_corrupt() -> None:
    assert judge(ROW, ROW.stat._replace(device=5), OTHER) is Verdict.CORRUPT


def test_one_hash_that_differs_is_enough() -> None:
    assert ROW.fingerprint is not None
    half = ROW.fingerprint._replace(xxh128=b"o" * 16)
    assert judge(ROW, ROW.stat, half) is Verdict.CORRUPT


def test_other_bytes_behind_a_newer_ctime_are_altered() -> None:
    assert judge(ROW, ROW.stat._replace(ctime_ns=ROW.stat.ctime_ns + 1), OTHER) is Verdict.ALTERED


@pytest.mark.parametrize("field", ["size", "mtime_ns", "inode"])
def test_a_stat_that_tells_a_write_is_a_change_even_with_equal_hashes(field: str) -> None:
    stat: FileStat = ROW.stat._replace(**{field: 5})
    assert ROW.fingerprint is not None
    assert was_written(ROW, stat)
    assert judge(ROW, stat, ROW.fingerprint) is judge(ROW, stat, OTHER) is Verdict.CHANGED


def test_a_row_whose_times_prove_nothing_accuses_nobody() -> None:
    assert judge(replace(ROW, racy=True), ROW.stat, OTHER) is Verdict.CHANGED


def test_what_the_service_does_anyway_is_no_damage() -> None:
    assert not DAMAGE & {Verdict.INTACT, Verdict.CHANGED, Verdict.MISSING, Verdict.UNHASHED}
