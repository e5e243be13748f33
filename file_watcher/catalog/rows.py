"""How a file's record becomes a row of `fw_files` and comes back.

Owns no thread; `RootDevices` may be read by any thread while one sets it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from file_watcher.model import CatalogEntry, FileRecord, FileStat, Fingerprint, display

RECORD_COLUMNS: Final = (
    "id, path, library_id, file_id, version, size, mtime_ns, ctime_ns, device, inode, "
    "sha256, xxh128, metadata, growing, racy, awaits_idle, attributes"
)
"""What `record_of` reads, in its order."""

ENTRY_COLUMNS: Final = (
    "path, library_id, size, mtime_ns, ctime_ns, device, inode, (sha256 IS NOT NULL AND NOT growing), "
    "(racy OR growing OR awaits_idle)"
)
"""What `entries_of` reads, in its order: the last one is whether the stat does not suffice."""


def learning_columns(library_ids: Sequence[int]) -> str:
    """The same where these libraries tell of mode and owner: those that are not known yet want a look."""
    unknown = f"attributes IS NULL AND library_id + 0 IN ({', '.join(map(str, library_ids))})"
    return ENTRY_COLUMNS.replace("awaits_idle)", f"awaits_idle OR ({unknown}))")


STORED_COLUMNS: Final = (
    "library_id",
    "path",
    "path_text",
    "file_id",
    "version",
    "size",
    "mtime_ns",
    "ctime_ns",
    "device",
    "inode",
    "sha256",
    "xxh128",
    "metadata",
    "growing",
    "racy",
    "updated_ns",
    "awaits_idle",
    "attributes",
)
"""What `values_of` gives, in its order."""

_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
"""One for all rows: json.dumps makes a new one for each where it is told anything."""

_WRAP: Final = 1 << 64
_HALF: Final = 1 << 63


def signed(number: int) -> int:
    """An unsigned 64-bit number as the signed one with the same bits, which databases can hold."""
    return number - _WRAP if number >= _HALF else number


def unsigned(number: int) -> int:
    """The opposite of `signed`."""
    return number + _WRAP if number < 0 else number


class RootDevices:
    """Translates device numbers, which change between boots, to tokens, which do not.

    A file on the same device as its library's root has token 0, whatever number the device has today;
    another one (a mount below the root) keeps its number.
    """

    def __init__(self) -> None:
        self._device_of_root: dict[int, int] = {}

    @property
    def of_roots(self) -> Mapping[int, int]:
        """The device of each library's root, by the library's number."""
        return self._device_of_root

    def set(self, library_id: int, device: int) -> None:
        """Say which device the root of the library has now."""
        self._device_of_root[library_id] = device

    def token(self, library_id: int, device: int) -> int:
        """What to store for a device."""
        return 0 if device == self._device_of_root.get(library_id) else signed(device)

    def device(self, library_id: int, token: int) -> int:
        """The device that a stored token means now; 0 while the root was not seen."""
        return unsigned(token) if token else self._device_of_root.get(library_id, 0)


def record_of(row: Sequence[Any], devices: RootDevices) -> FileRecord:
    """Build the record from a row of `RECORD_COLUMNS`."""
    (
        row_id,
        path,
        library_id,
        file_id,
        version,
        size,
        mtime_ns,
        ctime_ns,
        token,
        inode,
        sha256,
        xxh128,
        metadata,
        growing,
        racy,
        awaits_idle,
        attributes,
    ) = row
    return FileRecord(
        path,
        library_id,
        file_id,
        version,
        FileStat(size, mtime_ns, ctime_ns, devices.device(library_id, token), unsigned(inode)),
        None if sha256 is None else Fingerprint(sha256, xxh128),
        None if metadata is None else json.loads(metadata),
        bool(growing),
        bool(racy),
        row_id,
        bool(awaits_idle),
        attributes,
    )


def entries_of(rows: Iterable[Sequence[Any]], devices: RootDevices) -> list[CatalogEntry]:
    """Build a scan's entries from rows of `ENTRY_COLUMNS`. Every scan does so for every file: calls are spared."""
    new, device_of, roots = tuple.__new__, devices.device, devices.of_roots
    return [
        new(
            CatalogEntry,
            (
                path,
                new(
                    FileStat,
                    (
                        size,
                        mtime_ns,
                        ctime_ns,
                        device_of(library_id, token)
                        if token or library_id not in roots
                        else roots[library_id],
                        inode if inode >= 0 else inode + _WRAP,
                    ),
                ),
                not doubtful,
                bool(hashed),
            ),
        )
        for path, library_id, size, mtime_ns, ctime_ns, token, inode, hashed, doubtful in rows
    ]


def values_of(record: FileRecord, devices: RootDevices, now_ns: int) -> tuple[Any, ...]:
    """The values to store for a record, in the order of `STORED_COLUMNS`.

    Raises ValueError or TypeError for metadata that JSON cannot say (a NaN, an object).
    """
    size, mtime_ns, ctime_ns, device, inode = record.stat
    sha256, xxh128 = record.fingerprint or (None, None)
    return (
        record.library_id,
        record.path,
        # PostgreSQL's text cannot hold NUL, and no path does; the exact bytes stand in `path`.
        display(record.path),
        record.file_id,
        record.version,
        size,
        mtime_ns,
        ctime_ns,
        devices.token(record.library_id, device),
        signed(inode),
        sha256,
        xxh128,
        None if record.metadata is None else _ENCODER.encode(dict(record.metadata)),
        record.growing,
        record.racy,
        now_ns,
        record.awaits_idle,
        record.attributes,
    )
