"""The table of all settings with the names they go by, derived from the models in `schema`.

One setting has a key (`debounce_time`), a name in each layer (option `--debounce-time`, variable
`FILE_WATCH_DEBOUNCE_TIME`, TOML and database `file_watch.debounce_time`) and one line of help. The command's
options and the documentation are made from `option_table`, so neither can disagree with what is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from file_watcher.settings.kinds import Kind
from file_watcher.settings.presets import PRESETS
from file_watcher.settings.schema import FileWatchSettings, Named, RabbitMQSettings, Settings

WATCH_TABLE: Final = "file_watch"
"""The TOML table, and the prefix of the database's rows, that hold FileWatchSettings."""


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One setting as a person meets it."""

    key: str
    """The key in the `options` of `load`, e.g. `debounce_time`."""
    option: str
    environment: tuple[str, ...]
    """The variable, then its aliases; deprecated ones last."""
    toml: str
    """The dotted key in the file, e.g. `file_watch.debounce_time`; also the name in `Loaded.origins`."""
    default: str
    help: str
    accepts: str
    kind: str
    """See `kinds.Kind.name`."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting as the loader needs it: its names, and where its value belongs."""

    model: type[BaseModel]
    field: str
    info: OptionInfo
    kind: Kind
    deprecated: tuple[str, ...]

    def read(self, raw: object) -> object:
        """The typed value; ValueError, with the reason or empty, where it cannot be used.

        The reason never quotes a secret: only our own readers' words are let through, as pydantic's
        may quote what it was given.
        """
        reason = ""
        try:
            return getattr(self.model.model_validate({self.field: raw}), self.field)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_input=False):
                if error["type"] == "value_error":
                    reason = str(error["ctx"]["error"])
        # Outside of the except clause, so that pydantic's error is not the context of ours.
        raise ValueError(reason)


def _variables() -> Iterator[Variable]:
    for name in Settings.model_fields:
        if name == "rabbitmq":
            yield from (
                _variable(RabbitMQSettings, field, "rabbitmq_") for field in RabbitMQSettings.model_fields
            )
        elif name == "watch":
            yield from (_variable(FileWatchSettings, field, "") for field in FileWatchSettings.model_fields)
        else:
            yield _variable(Settings, name, "")


def _variable(model: type[BaseModel], field: str, prefix: str) -> Variable:
    about = model.model_fields[field]
    kind = next(item for item in about.metadata if isinstance(item, Kind))
    named = next((item for item in about.metadata if isinstance(item, Named)), Named())
    watch = model is FileWatchSettings
    variable = named.variable or f"{'FILE_WATCH_' if watch else prefix.upper()}{field.upper()}"
    key = field if watch else variable.lower()
    info = OptionInfo(
        key=key,
        option=f"--{key.replace('_', '-')}",
        environment=(variable, *named.aliases, *named.deprecated),
        toml=f"{WATCH_TABLE}.{key}" if watch else key,
        default=named.default if named.default is not None else _shown_default(about),
        help=about.description or "",
        accepts=kind.accepts,
        kind=kind.name,
    )
    return Variable(model, field, info, kind, named.deprecated)


def _shown_default(about: FieldInfo) -> str:
    kind = next(item for item in about.metadata if isinstance(item, Kind))
    return _shown_value(about.default, kind)


def _shown_value(value: Any, kind: Kind) -> str:
    """A value as a person would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "off" if kind.accepts.startswith("off") else ""
    if kind.name == "duration":
        return _shown_duration(value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _shown_duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def shown_value(variable: Variable, value: Any) -> str:
    """A value of the setting as a person would write it."""
    default = variable.model.model_fields[variable.field].default
    return variable.info.default if value == default else _shown_value(value, variable.kind)


VARIABLES: Final = tuple(_variables())
BY_KEY: Final = {variable.info.key: variable for variable in VARIABLES}
BY_TOML: Final = {variable.info.toml: variable for variable in VARIABLES}
BY_ENVIRONMENT: Final = {name: variable for variable in VARIABLES for name in variable.info.environment}


def option_table() -> tuple[OptionInfo, ...]:
    """Every setting, in the order in which the documentation lists them."""
    return tuple(variable.info for variable in VARIABLES)


def markdown_table() -> str:
    """The README's table of settings, ending in a newline."""
    rows = ["| variable | option | default | what it does | accepts |", "| --- | --- | --- | --- | --- |"]
    for variable in VARIABLES:
        info = variable.info
        names = ", ".join(
            f"`{name}`{' (deprecated)' if name in variable.deprecated else ''}" for name in info.environment
        )
        # What has blanks is words about the default, not a value to type.
        default = f"`{info.default}`" if info.default and " " not in info.default else info.default
        rows.append(f"| {names} | `{info.option}` | {default} | {info.help} | {info.accepts} |")
    return "\n".join(rows) + "\n"


def preset_table() -> str:
    """The README's table of presets, ending in a newline: what each sets otherwise than the defaults."""
    rows = ["| preset | for | `patterns` | `ignore_patterns` | else |", "| --- | --- | --- | --- | --- |"]
    for name, preset in PRESETS.items():
        shown = {key: _shown_value(value, BY_KEY[key].kind) for key, value in preset.values.items()}
        lists = [f"`{shown.pop(key)}`" if shown.get(key) else "" for key in ("patterns", "ignore_patterns")]
        if preset.values.get("ignore_patterns") == ():
            lists[1] = "none"
        others = ", ".join(f"`{key}` {value}" for key, value in shown.items() if value)
        rows.append(f"| `{name}` | {preset.about} | {' | '.join(lists)} | {others} |")
    return "\n".join(rows) + "\n"


def nearest(name: str, known: Iterable[str], likeness: float = 0.55, *, beginning: str = "") -> str | None:
    """The known name that a mistyped one most resembles; None where none does (difflib's ratio).

    `beginning` is what many names have in common: it would make them all alike, and is left out.
    """
    bare = {each.removeprefix(beginning): each for each in known}
    found = difflib.get_close_matches(name.removeprefix(beginning), bare, n=1, cutoff=likeness)
    return bare[found[0]] if found else None
