"""Puts the layers together: the one way in which a process gets its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from file_watcher.errors import UsageError
from file_watcher.settings.checks import check_broker, check_patterns, check_roots, check_state, check_times
from file_watcher.settings.rules import keep_good
from file_watcher.settings.schema import FileWatchSettings, RabbitMQSettings, Settings
from file_watcher.settings.sources import (
    Layer,
    from_database,
    from_environment,
    from_file,
    from_options,
    problems_of_row,
    with_preset,
)
from file_watcher.settings.state import config_file as user_config_file
from file_watcher.settings.state import state_folder
from file_watcher.settings.variables import BY_TOML, VARIABLES

_ABOUT_ROOTS: Final = frozenset({"data_dir", "file_watch.directories", "file_watch.allowed_roots"})
_ABOUT_TIMES: Final = frozenset({"file_watch.idle_timeout", "file_watch.debounce_time", "file_watch.preset"})
_IN_THE_URL: Final = ("rabbitmq_host", "rabbitmq_port", "rabbitmq_user", "rabbitmq_pass", "rabbitmq_vhost")


@dataclass(frozen=True, slots=True)
class Layers:
    """What options, environment and file gave, read once; the database's rows may come between at any time."""

    above: tuple[Layer, ...] = ()
    """Options and environment, which hold over the rows."""
    below: tuple[Layer, ...] = ()
    """The file."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where the user's folders are looked up."""

    def with_rows(self, rows: Layer) -> list[Layer]:
        """All layers, highest first, the preset's last."""
        return with_preset([*self.above, rows, *self.below])


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and what is worth knowing about them."""

    settings: Settings
    warnings: tuple[str, ...]
    """One line each: deprecated or mistyped variables, database rows that were passed over."""
    origins: Mapping[str, str]
    """The layer that each setting came from, by `OptionInfo.toml`: option, environment, database, file,
    preset, default."""
    config_file: Path | None
    """The configuration file that was read."""
    layers: Layers = field(default=Layers(), repr=False)
    """All but the database's rows; see `settle`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds with the database's rows as they are now."""

    settings: Settings
    layers: tuple[Layer, ...] = field(repr=False)
    """Highest first, the rows among them."""
    origins: Mapping[str, str]
    """See `Loaded`."""
    problems: tuple[str, ...]
    good: Mapping[str, str]
    """The rows that hold, as they were written: what stays where one is spoilt later."""


@dataclass(frozen=True, slots=True)
class _Merged:
    settings: Settings
    origins: dict[str, str]
    problems: list[str] = field(default_factory=list)


def load(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    database: Mapping[str, str] = MappingProxyType({}),
    config_file: Path | None = None,
) -> Loaded:
    """Settings out of all layers: options over environment over database rows over file over preset over
    defaults.

    `options` go by `OptionInfo.key` or `.option`; None means not given. `database` holds the rows of the
    settings table; only `file_watch.*` ones count. Without `config_file` the user's own is read, if there
    is one. Reads that file and looks at the folders to watch, and so blocks as long as the disk does.
    Raises UsageError with all problems at once, none of which shows a secret.
    """
    path = config_file or user_config_file(environ)
    file = from_file(path, named=config_file is not None)
    rows = from_database(database)
    given = Layers((from_options(options), from_environment(environ)), (file,), dict(environ))
    layers = given.with_rows(rows)
    unusable = set().union(*(layer.unusable for layer in layers))
    merged = _merge(layers, environ, unusable)
    warnings = [line for layer in layers for line in layer.warnings]
    if merged.problems and (doubtful := (_ABOUT_ROOTS | _ABOUT_TIMES) & rows.values.keys()):
        merged, passed_over = _without(doubtful, layers, merged, environ, unusable)
        warnings += passed_over
    problems = [line for layer in layers for line in layer.problems] + merged.problems
    if problems:
        raise UsageError(*problems)
    warnings += _ignored_parts(merged)
    return Loaded(merged.settings, tuple(warnings), MappingProxyType(merged.origins), file.path, given)


def settle(layers: Layers, rows: Mapping[str, str], good: Mapping[str, str]) -> Settled:
    """What holds with these rows of the settings table, of which `good` held until now.

    A row that cannot be used is told of; what was good before stays, else the next layer's value holds. Looks at
    the disk only where rows about folders or times are new. Never raises for a row's sake.
    """
    usable, problems = keep_good(rows, good, problems_of_row)
    doubtful = (_ABOUT_ROOTS | _ABOUT_TIMES) & (usable.keys() | good.keys())
    if any(usable.get(key) != good.get(key) for key in doubtful):
        usable, wrong = _agreeing(layers, usable, good, doubtful)
        problems += wrong
    stack = layers.with_rows(from_database(usable))
    settings, origins = _highest(stack)
    return Settled(settings, tuple(stack), MappingProxyType(origins), tuple(problems), usable)


def _agreeing(
    layers: Layers,
    usable: dict[str, str],
    good: Mapping[str, str],
    doubtful: frozenset[str],
) -> tuple[dict[str, str], list[str]]:
    """The rows without those that do not go together with the others or with the disk, and why not."""

    def problems_with(rows: Mapping[str, str]) -> list[str]:
        return _merge(layers.with_rows(from_database(rows)), layers.environ, set()).problems

    others = {key: value for key, value in usable.items() if key not in doubtful}
    # What is wrong without the rows, too, is not their fault: it was found at the start, or the disk is to blame.
    known = set(problems_with(others))
    wrong = [line for line in problems_with(usable) if line not in known]
    if not wrong:
        return usable, []
    before = others | {key: good[key] for key in doubtful if key in good and key in usable}
    stays = before if set(problems_with(before)) <= known else others
    names = " and ".join(sorted(doubtful & usable.keys()))
    effect = "what held before stays" if stays != others else "the next layer's values hold"
    return stays, [f"{names} in the settings table: {line} ({effect})" for line in wrong]


def _merge(layers: list[Layer], environ: Mapping[str, str], unusable: set[str]) -> _Merged:
    """The highest layer's value of each setting, checked together as far as what was given is usable."""
    settings, origins = _highest(layers)
    return _Merged(settings, origins, _check_together(settings, environ, unusable))


def _highest(layers: list[Layer]) -> tuple[Settings, dict[str, str]]:
    """The highest layer's value of each setting, and the name of that layer."""
    raw: dict[type, dict[str, Any]] = {Settings: {}, RabbitMQSettings: {}, FileWatchSettings: {}}
    origins = {}
    for variable in VARIABLES:
        key = variable.info.toml
        found = next(((layer.name, layer.values[key]) for layer in layers if key in layer.values), None)
        origins[key] = found[0] if found else "default"
        if found:
            raw[variable.model][variable.field] = found[1].raw
    settings = Settings(
        **raw[Settings],
        rabbitmq=RabbitMQSettings(**raw[RabbitMQSettings]),
        watch=FileWatchSettings(**raw[FileWatchSettings]),
    )
    return settings, origins


def _check_together(settings: Settings, environ: Mapping[str, str], unusable: set[str]) -> list[str]:
    """Problems of settings that are usable each, leaving out what unusable ones would only distort."""
    problems = []
    if not unusable & _ABOUT_ROOTS:
        problems += check_roots(settings) + check_patterns(settings)
        if "database_url" not in unusable and "instance_id" not in unusable:
            problems += _check_catalog(settings, environ)
    if not unusable & _ABOUT_TIMES:
        problems += check_times(settings)
    if not any(key.startswith("rabbitmq_") for key in unusable):
        problems += check_broker(settings)
    return problems


def _check_catalog(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    try:
        return check_state(settings, state_folder(environ))
    except UsageError as exc:
        return [] if settings.database_url is not None and settings.instance_id else list(exc.problems)


def _without(
    doubtful: frozenset[str],
    layers: list[Layer],
    merged: _Merged,
    environ: Mapping[str, str],
    unusable: set[str],
) -> tuple[_Merged, list[str]]:
    """The settings without the database's rows about roots, where that solves any problem."""
    kept = [
        Layer(layer.name, {key: given for key, given in layer.values.items() if key not in doubtful})
        if layer.name == "database"
        else layer
        for layer in layers
    ]
    again = _merge(kept, environ, unusable)
    solved = [line for line in merged.problems if line not in again.problems]
    if not solved or set(again.problems) - set(merged.problems):
        return merged, []
    rows = " and ".join(sorted(doubtful))
    return again, [f"{rows} in the database cannot be used: {line}" for line in solved]


def _ignored_parts(merged: _Merged) -> list[str]:
    if merged.settings.rabbitmq.url is None:
        return []
    parts = [BY_TOML[key].info.environment[0] for key in _IN_THE_URL if merged.origins[key] != "default"]
    return [f"{', '.join(parts)}: not used, since RABBITMQ_URL gives the whole address"] if parts else []
