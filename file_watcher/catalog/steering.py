"""Reads all that steers a running service: settings, libraries, and what is said of single libraries.

Owns no thread. `libraries` and `settings` may belong to another application: only the columns that `tables`
names are asked for, as text, whatever their types, and rows that say nothing to us are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.tables import WAITING

_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})


@dataclass(frozen=True, slots=True)
class LibraryRow:
    """A row of `libraries` with what we know of it besides."""

    id: int
    name: str
    path: str
    """As it stands in the table; undecodable bytes as `\\xNN` where we wrote it."""
    type: str
    is_watched: bool
    rules: Mapping[str, str] = field(default_factory=dict)
    """The library's own settings, by their names without `file_watch.`."""
    origins: Mapping[str, bool] = field(default_factory=dict)
    """The instances whose environment names it, and for each whether it was watched before that."""
    was_seen: bool = False
    """Whether its folder was there once."""
    state: str | None = None
    """active, suspended or unwatched (which was told already); None where it was never watched."""


@dataclass(frozen=True, slots=True)
class SteeringRows:
    """Everything as of one moment. Equal rows steer equally."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """The `file_watch.*` rows, which hold for all libraries and instances."""
    libraries: tuple[LibraryRow, ...] = ()
    """All of them, by number, watched or not."""
    unsent: frozenset[int] = frozenset()
    """The numbers of libraries, also of removed ones, with messages or jobs that are still to be sent. Empty on
    SQLite, where one owner sends everything."""


_QUESTION: Final = """
SELECT 'library', CAST(id AS TEXT), CAST(name AS TEXT), CAST(path AS TEXT), CAST(type AS TEXT),
       CAST(is_watched AS TEXT) FROM libraries
UNION ALL
SELECT 'setting', CAST(key AS TEXT), CAST(value AS TEXT), {type_of}, NULL, NULL FROM settings
 WHERE substr(CAST(key AS TEXT), 1, 11) = 'file_watch.'
UNION ALL
SELECT 'rule', CAST(library_id AS TEXT), key, value, NULL, NULL FROM fw_library_rules
UNION ALL
SELECT 'origin', CAST(library_id AS TEXT), instance_id, CAST(was_watched AS TEXT), NULL, NULL
  FROM fw_library_origins
UNION ALL
SELECT 'state', CAST(library_id AS TEXT), state, CASE WHEN root_inode IS NULL THEN '0' ELSE '1' END, NULL, NULL
  FROM fw_library_state
"""
"""One statement, so that all is as of one commit: rules that came with a library are seen with it."""
_SQLITE: Final = _QUESTION.format(type_of="NULL")
_UNSENT: Final = f"""UNION ALL
SELECT 'unsent', CAST(library_id AS TEXT), NULL, NULL, NULL, NULL
  FROM (SELECT library_id FROM fw_events WHERE {WAITING} UNION SELECT library_id FROM fw_job_windows) AS unsent
"""  # noqa: S608 - constants
_POSTGRESQL: Final = _QUESTION.format(type_of="CAST(pg_typeof(value) AS TEXT)")


def read_steering(database: Database, *, with_unsent: bool = False) -> SteeringRows:
    """All that steers, as of one moment; costs one question. Raises CatalogUnavailable or CatalogError.

    `unsent` is only looked at where it is asked for: it changes with every message, and going through a million
    that wait takes a third of a second.
    """
    kinds = ("library", "setting", "rule", "origin", "state", "unsent")
    found: dict[str, list[Any]] = {kind: [] for kind in kinds}
    question = _SQLITE if database.is_sqlite else _POSTGRESQL + (_UNSENT if with_unsent else "")
    for kind, *values in database.ask(question, ()):
        found[kind].append(values)
    rules: dict[str, dict[str, str]] = {}
    for number, key, value, *_ in found["rule"]:
        rules.setdefault(number, {})[key] = value
    origins: dict[str, dict[str, bool]] = {}
    for number, instance_id, was_watched, *_ in found["origin"]:
        origins.setdefault(number, {})[instance_id] = _is_true(was_watched)
    states = {number: (state, was_seen) for number, state, was_seen, *_ in found["state"]}
    libraries = []
    for number, name, path, kind, is_watched in found["library"]:
        if number is None:
            continue
        state, was_seen = states.get(number, (None, "0"))
        libraries.append(
            LibraryRow(
                int(number),
                name or "",
                path or "",
                kind or "",
                _is_true(is_watched),
                rules.get(number, {}),
                origins.get(number, {}),
                _is_true(was_seen),
                state,
            )
        )
    return SteeringRows(
        _settings(found["setting"]),
        tuple(sorted(libraries, key=lambda row: row.id)),
        frozenset(int(number) for number, *_ in found["unsent"]),
    )


def _settings(rows: list[Any]) -> dict[str, str]:
    """Values that are not NULL; a JSON text stands without its quotes."""
    return {
        key: _unquoted(value) if kind in {"json", "jsonb"} else value
        for key, value, kind, *_ in rows
        if value is not None
    }


def _unquoted(value: str) -> str:
    with suppress(json.JSONDecodeError):
        text = json.loads(value)
        return text if isinstance(text, str) else value
    return value


def _is_true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in _TRUE
