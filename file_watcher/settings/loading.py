"""Puts the layers together: the one way in which a process gets its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from file_watcher.errors import UsageError
from file_watcher.settings.checks import check_broker, check_patterns, check_roots, check_state, check_times
from file_watcher.settings.schema import FileWatchSettings, RabbitMQSettings, Settings
from file_watcher.settings.sources import (
    Layer,
    from_database,
    from_environment,
    from_file,
    from_options,
    with_preset,
)
from file_watcher.settings.state import config_file as user_config_file
from file_watcher.settings.state import state_folder
from file_watcher.settings.variables import BY_TOML, VARIABLES

_ABOUT_ROOTS: Final = frozenset({"data_dir", "file_watch.directories", "file_watch.allowed_roots"})
_ABOUT_TIMES: Final = frozenset({"file_watch.idle_timeout", "file_watch.debounce_time"})
_IN_THE_URL: Final = ("rabbitmq_host", "rabbitmq_port", "rabbitmq_user", "rabbitmq_pass", "rabbitmq_vhost")


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
    layers = with_preset([from_options(options), from_environment(environ), rows, file])
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
    return Loaded(merged.settings, tuple(warnings), MappingProxyType(merged.origins), file.path)


def _merge(layers: list[Layer], environ: Mapping[str, str], unusable: set[str]) -> _Merged:
    """The highest layer's value of each setting, checked together as far as what was given is usable."""
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
    return _Merged(settings, origins, _check_together(settings, environ, unusable))


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
