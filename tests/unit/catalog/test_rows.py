from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.catalog.rows import RootDevices, record_of, signed, unsigned, values_of
from file_watcher.model import FileRecord, FileStat, Fingerprint
from tests.support.catalog import DEVICE, record

UNSIGNED = st.integers(0, 2**64 - 1)
BIGINT = st.integers(-(2**63), 2**63 - 1)


def row_of(record: FileRecord, devices: RootDevices) -> tuple[Any, ...]:
    """The row as the database would give it back: row number first, without text and time."""
    library_id, path, _text, file_id, *rest, _updated, awaits_idle, attributes = values_of(
        record, devices, now_ns=0
    )
    return (7, path, library_id, file_id, *rest, awaits_idle, attributes)


@given(UNSIGNED)
def test_an_unsigned_number_comes_back_and_fits_a_signed_column(number: int) -> None:
    assert -(2**63) <= signed(number) < 2**63
    assert unsigned(signed(number)) == number


@given(
    st.binary(min_size=1),
    st.builds(FileStat, st.integers(0, 2**63 - 1), BIGINT, BIGINT, st.integers(1, 2**64 - 1), UNSIGNED),
    st.none() | st.builds(Fingerprint, st.binary(min_size=32), st.binary(min_size=16)),
    st.none() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()),
    st.booleans(),
)
def test_a_record_comes_back_from_its_row(
    name: bytes,
    stat: FileStat,
    fingerprint: Fingerprint | None,
    metadata: dict[str, Any] | None,
    flag: bool,
) -> None:
    devices = RootDevices()
    devices.set(1, DEVICE)
    stored = record(name, fingerprint=fingerprint, metadata=metadata, growing=flag, racy=not flag)
    stored = replace(stored, stat=stat, row_id=7, awaits_idle=flag, attributes="644 0 0" if flag else None)

    assert record_of(row_of(stored, devices), devices) == stored


def test_a_device_that_is_renumbered_at_boot_is_still_the_roots() -> None:
    devices = RootDevices()
    devices.set(1, 50)
    token = devices.token(1, 50)

    devices.set(1, 99)

    assert devices.device(1, token) == 99


def test_a_mount_below_the_root_keeps_its_own_number() -> None:
    devices = RootDevices()
    devices.set(1, 50)

    assert devices.device(1, devices.token(1, 2**63 + 5)) == 2**63 + 5


def test_libraries_on_different_devices_do_not_mix() -> None:
    devices = RootDevices()
    devices.set(1, 50)
    devices.set(2, 60)

    assert devices.token(2, 50) == 50
    assert devices.device(2, 0) == 60


def test_metadata_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        values_of(record("a.mp3", metadata={"duration": float("nan")}), RootDevices(), 0)
