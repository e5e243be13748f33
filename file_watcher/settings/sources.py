"""The layers that settings come from, and how they become one `Settings`.

option > environment > database > TOML file > preset > default. Every layer is read whole before anything is
refused, so that one start shows all that there is to mend. A value that cannot be used is a problem even
where a higher layer hides it; only the database's rows, which somebody may have written while we ran, fall
to the next layer with a warning.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from file_watcher.settings.addresses import scrub
from file_watcher.settings.presets import DEFAULT_PRESET, PRESETS
from file_watcher.settings.variables import (
    BY_ENVIRONMENT,
    BY_KEY,
    BY_TOML,
    VARIABLES,
    WATCH_TABLE,
    Variable,
    nearest,
)

_SHARED_PREFIXES: Final = ("RABBITMQ_", "WATCHER_", "FILE_WATCHER_", "LOG_")
"""Beginnings that our variables share with other programs' (the broker's own are RABBITMQ_*)."""
_TYPING_ERROR: Final = 0.86
"""Likeness from which on a foreign variable is taken for ours, mistyped: RABBITMQ_HOSTNAME is, the broker's
own RABBITMQ_NODE_PORT is not."""
_LONGEST_SHOWN: Final = 120
_PRESET: Final = f"{WATCH_TABLE}.preset"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it, and the words for where it stands."""

    spelling: str
    raw: object


@dataclass(slots=True)
class Layer:
    """What one source gave: usable values by TOML key, and what was wrong."""

    name: str
    values: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)
    path: Path | None = None
    """The file that was read."""

    def add(self, variable: Variable, given: Given) -> None:
        """Keep the value if it can be used, else a problem that says what could."""
        try:
            variable.read(given.raw)
        except ValueError as exc:
            self.unusable.add(variable.info.toml)
            self.problems.append(unusable_line(variable, given, str(exc)))
        else:
            self.values[variable.info.toml] = given


def from_options(options: Mapping[str, object]) -> Layer:
    """The command's options, by key or by their own spelling; None means not given."""
    layer = Layer("option")
    for name, raw in options.items():
        variable = BY_KEY.get(name.removeprefix("--").replace("-", "_"))
        if variable is None:
            shown = name if name.startswith("--") else f"--{name.replace('_', '-')}"
            layer.problems.append(
                unknown_line(shown, "option", nearest(shown, (v.info.option for v in VARIABLES)))
            )
        elif raw is not None:
            layer.add(variable, Given(variable.info.option, raw))
    return layer


def from_environment(environ: Mapping[str, str]) -> Layer:
    """The environment variables. An empty one counts as not set."""
    layer = Layer("environment")
    for variable in VARIABLES:
        given = [Given(name, environ[name]) for name in variable.info.environment if environ.get(name)]
        if given:
            _add_agreeing(layer, variable, given)
    for name in sorted(environ.keys() - BY_ENVIRONMENT.keys()):
        if name.startswith("FILE_WATCH_"):
            layer.problems.append(unknown_line(name, "variable", _near_variable(name)))
        elif name.startswith(_SHARED_PREFIXES) and (meant := nearest(name, BY_ENVIRONMENT, _TYPING_ERROR)):
            layer.warnings.append(f"{name} is none of our variables and is not used; did you mean {meant}?")
    return layer


def problems_of_row(key: str, value: str) -> list[str]:
    """Why this row of the settings table cannot be used, in lines that say what could; empty where it can."""
    layer = Layer("database")
    _add_keyed(layer, {key: value}, "the database")
    return layer.problems


def from_database(rows: Mapping[str, str]) -> Layer:
    """The database's `file_watch.*` rows; others belong to other applications. Never a problem."""
    layer = Layer("database")
    ours = {key: raw for key, raw in rows.items() if key.startswith(f"{WATCH_TABLE}.")}
    _add_keyed(layer, ours, "the database")
    layer.warnings = [f"{line} (the next layer's value holds)" for line in layer.problems]
    layer.problems = []
    layer.unusable = set()
    return layer


def from_file(path: Path, *, named: bool) -> Layer:
    """The TOML file. Reads it; a missing one is a problem only where somebody named it."""
    layer = Layer("file")
    where = f"The configuration file {str(path)!r}"
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if named:
            layer.problems.append(f"{where} does not exist; name one that does, or leave --config out")
    except OSError as exc:
        if not named and _is_hidden(path):
            # A service that runs as another user than the owner of its home: nobody meant that file.
            layer.warnings.append(f"{where} was not looked for: this user may not enter the folder above it")
        else:
            reason = exc.strerror or exc
            layer.problems.append(f"{where} cannot be read ({reason}); name a file this user may read")
    else:
        layer.path = path
        _add_keyed(layer, _flatten(_parse_toml(content, where, layer)), repr(str(path)))
    return layer


def with_preset(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, highest first, and below them that of the preset which the highest of them names.

    Whoever has rules of one library resolves them as `[*with_preset([rules]), *layers]`: its own preset
    then holds over what is said of all libraries.
    """
    given = next((layer.values[_PRESET] for layer in layers if _PRESET in layer.values), None)
    name = DEFAULT_PRESET if given is None else str(BY_TOML[_PRESET].read(given.raw))
    preset = Layer("preset")
    for key, value in PRESETS[name].values.items():
        preset.add(BY_KEY[key], Given(f"{key} of the preset {name}", value))
    return [*layers, preset]


def unusable_line(variable: Variable, given: Given, reason: str) -> str:
    """The line about a value that cannot be used: name, value, why, and what would be accepted."""
    because = f" ({reason})" if reason else ""
    shown = _shown(variable, given.raw)
    return f"{given.spelling}: {shown} cannot be used{because}; write {variable.kind.accepts}"


def unknown_line(name: str, what: str, meant: str | None) -> str:
    """The line about a name that is none of ours. Its value is not shown: who knows what it is."""
    return f"{name} is no known {what}; " + (f"did you mean {meant}?" if meant else "remove it")


def _add_keyed(layer: Layer, values: Mapping[str, object], place: str) -> None:
    """Add values that go by their dotted key."""
    for key, raw in values.items():
        # A key in quotes may hold anything, line ends too; a problem is one line.
        spelling = f"{key if key.isprintable() else repr(key)} in {place}"
        if variable := BY_TOML.get(key):
            layer.add(variable, Given(spelling, raw))
        else:
            layer.problems.append(unknown_line(spelling, "setting", _near_key(key)))


def _add_agreeing(layer: Layer, variable: Variable, given: list[Given]) -> None:
    """Add a setting that may be given under several names, which then must agree."""
    for one in given:
        layer.add(variable, one)
        if one.spelling in variable.deprecated:
            layer.warnings.append(
                f"{one.spelling} is deprecated and will be dropped; use {variable.info.environment[0]} instead"
            )
    if variable.info.toml in layer.unusable:
        layer.values.pop(variable.info.toml, None)
        return
    meant = [variable.read(one.raw) for one in given]
    if any(value != meant[0] for value in meant):
        values = ", ".join(f"{one.spelling}={_shown(variable, one.raw)}" for one in given)
        layer.problems.append(f"{values}: these mean the same setting but differ; keep only the first")
        layer.unusable.add(variable.info.toml)
    layer.values[variable.info.toml] = given[0]


def _parse_toml(content: bytes, where: str, layer: Layer) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        layer.problems.append(f"{where} is not UTF-8 at line {line}; save it as UTF-8")
    except tomllib.TOMLDecodeError as exc:
        layer.problems.append(f"{where} is no TOML: {exc}; mend that line")
    except RecursionError:
        layer.problems.append(f"{where} is no TOML that can be read: it is nested too deeply")
    return {}


def _flatten(tables: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys of the file, one level deep: more our settings do not have."""
    flat: dict[str, object] = {}
    for key, value in tables.items():
        if isinstance(value, dict) and key not in BY_TOML and (value or key == WATCH_TABLE):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    return flat


def _near_variable(name: str) -> str | None:
    bare = name.removeprefix("FILE_WATCH_")
    return bare if bare in BY_ENVIRONMENT else nearest(name, BY_ENVIRONMENT, beginning="FILE_WATCH_")


def _is_hidden(path: Path) -> bool:
    """Whether it cannot even be told if the file exists."""
    try:
        path.stat()
    except OSError:
        return True
    return False


def _near_key(key: str) -> str | None:
    """The key that is meant: the same name at its right place, else the one that looks most like it."""
    name = key.rpartition(".")[2]
    for candidate in (
        f"{WATCH_TABLE}.{name}",
        name,
        key.replace(".", "_"),
        f"{WATCH_TABLE}.{name.removeprefix('file_watch_')}",
    ):
        if candidate in BY_TOML:
            return candidate
    table = f"{WATCH_TABLE}."
    return nearest(key, BY_TOML, beginning=table) or nearest(name, BY_TOML, beginning=table)


def _shown(variable: Variable, raw: object) -> str:
    """The value as a message may show it."""
    text = raw if isinstance(raw, str) else repr(raw)
    display = variable.kind.display
    if display == "hidden" or (display == "host" and "@" in text):
        return "***"
    if display == "url" or "://" in text:
        text = scrub(text)
    shown = repr(text) if isinstance(raw, str) else text
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
