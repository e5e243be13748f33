"""What a program asks of its watcher, checked and turned into the service's settings. Owns no thread.

The values and their limits are those of the service (`settings`); only the names and some defaults are a program's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from file_watcher.embedding.place import PRIVATE_FOLDERS
from file_watcher.settings import FileWatchSettings, Settings
from file_watcher.settings.addresses import sqlite_url
from file_watcher.settings.kinds import Kind
from file_watcher.settings.presets import PRESETS

Duration = str | float | timedelta
"""`"100ms"`, `"1s"`, `"5m"`; seconds; or a timedelta."""

_MOST_BUFFERED: Final = 1_000_000
_OURS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "patterns": ("*",),
        "ignore_patterns": (),
        "debounce_time": 0.1,
        # A program waits for each event; the other half of a move turns up as soon as its hint is examined.
        "move_window": 0.5,
        # Nobody is there to approve of a loss. A root that is missing or replaced is noticed all the same.
        "loss_guard": None,
        # What was handled is of no use any more; the service keeps it for people who look back.
        "retention": (86_400.0, 10_000),
    }
)
"""Where a program needs other defaults than a service."""
_NAMES: Final = {"ignore_patterns": "ignore", "debounce_time": "debounce", "buffer_size": "buffer"}
"""How the arguments of a `Watcher` are called where the settings have other names."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything about a watcher but its folders."""

    watch: FileWatchSettings
    existing: bool
    buffer: int
    catalog: Path | None


@dataclass(slots=True)
class _Given:
    """Arguments by the names of their settings, without those that were left out."""

    values: dict[str, object] = field(default_factory=dict)

    def add(self, name: str, value: object) -> None:
        if value is not None:
            self.values[name] = value.total_seconds() if isinstance(value, timedelta) else value


def options_of(
    *,
    preset: str | None,
    patterns: str | Sequence[str] | None,
    ignore: str | Sequence[str] | None,
    debounce: Duration | None,
    idle_timeout: Duration | None,
    recursive: bool,
    follow_symlinks: bool,
    existing: bool,
    buffer: int,
    catalog: str | os.PathLike[str] | None,
    settings: Mapping[str, object],
) -> Options:
    """The arguments of a `Watcher`. Raises ValueError with a line for each that cannot be used."""
    named = settings.get("preset") if preset is None else preset
    known = None if named is None else PRESETS.get(str(named).strip().casefold())
    given = _Given({**_OURS, **({} if known is None else known.values)})
    for name, value in settings.items():
        given.add(name, value)
    given.add("preset", preset)
    given.add("patterns", patterns)
    given.add("ignore_patterns", ignore)
    given.add("debounce_time", debounce)
    given.add("idle_timeout", idle_timeout)
    given.values |= {"recursive": recursive, "follow_symlinks": follow_symlinks}
    problems = []
    if isinstance(buffer, bool) or not isinstance(buffer, int) or not 1 <= buffer <= _MOST_BUFFERED:
        problems.append(
            f"buffer={buffer!r} cannot be used: write a number of events from 1 to {_MOST_BUFFERED}"
        )
    try:
        watch = FileWatchSettings(**_with_private_folders_ignored(given.values))
    except ValidationError as exc:
        problems += [_problem(error, given.values) for error in exc.errors()]
        raise ValueError("\n".join(problems)) from None  # it says the same in pydantic's words
    if problems:
        raise ValueError("\n".join(problems))
    place = None if catalog is None else Path(os.path.realpath(os.fspath(catalog)))
    return Options(watch, existing, buffer, place)


def settings_of(options: Options, roots: Sequence[Path], catalog: Path) -> Settings:
    """The settings of a service that watches these folders for a program."""
    return Settings(
        data_dir=tuple(roots),
        database_url=sqlite_url(catalog),  # type: ignore[arg-type]  # the setting reads text
        http_addr=None,
        watch=options.watch,
    )


def _with_private_folders_ignored(values: Mapping[str, object]) -> dict[str, Any]:
    """A watcher of the folder for temporary files must not watch its own catalog, nor another's."""
    ignored = values["ignore_patterns"]
    if isinstance(ignored, str):
        return {**values, "ignore_patterns": f"{ignored},{PRIVATE_FOLDERS}"}
    if isinstance(ignored, Sequence):
        return {**values, "ignore_patterns": (*ignored, PRIVATE_FOLDERS)}
    return dict(values)  # whatever it is, its problem is told


def _problem(error: Any, values: Mapping[str, object]) -> str:
    name = str(error["loc"][0])
    shown = f"{_NAMES.get(name, name)}={values.get(name)!r}"
    known = FileWatchSettings.model_fields.get(name)
    if known is None:
        return f"settings: there is no setting {name!r}"
    reason = str(error.get("ctx", {}).get("error", ""))
    accepts = next((each.accepts for each in known.metadata if isinstance(each, Kind)), "something else")
    return f"{shown} cannot be used{f' ({reason})' if reason else ''}: write {accepts}"
