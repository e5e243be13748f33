"""Gives a command its options out of the table of settings, so that no option is written down twice.

Options are taken as text: what is wrong with them is told by `settings.load`, all problems at once and
in the same words as for a variable or a line of the file. Owns no thread.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, Final, ParamSpec

import typer

from file_watcher.cli.endings import ended
from file_watcher.settings import Loaded, OptionInfo, load, option_table

P = ParamSpec("P")

_WHAT: Final = "What is watched"
_WHEN: Final = "When a change is told"
_BROKER: Final = "RabbitMQ"
_CATALOG: Final = "Catalog and unsent events"
_PROCESS: Final = "This process"

_PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    _WHAT: (
        *("data_dir", "directories", "preset", "enabled", "recursive", "patterns", "ignore_patterns"),
        *("follow_symlinks", "allowed_roots", "create_missing", "observer", "poll_interval", "max_watches"),
        *("rescan_interval", "loss_guard"),
    ),
    _WHEN: (
        *("debounce_time", "max_wait", "move_window", "idle_timeout", "emit_chmod", "priority_patterns"),
        "rate_limit",
    ),
    _BROKER: ("alternate_exchange",),
    _CATALOG: ("database_url", "instance_id", "batch_size", "outbox_limit", "retention"),
}
"""Where an option stands in the help; those of the broker by their prefix, all others in the last panel."""

EVERYTHING: Final = frozenset(info.key for info in option_table())
"""All settings: for what runs the service, or judges how it would run."""

WHERE: Final = frozenset(
    info.key
    for info in option_table()
    if info.key in {"data_dir", "instance_id", "database_url", "watcher_http_addr"}
    or info.key.startswith("rabbitmq_")
)
"""Those that say where things are: for what talks to a service, its catalog or its broker."""

CATALOG: Final = frozenset({"instance_id", "database_url"})
"""Those that say which catalog is meant: for what only reads it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was given on the command line, by `OptionInfo.key`; None or missing where it was not."""

    options: Mapping[str, object]
    config_file: Path | None

    def load(self, database: Mapping[str, str] = MappingProxyType({})) -> Loaded:
        """The settings out of all layers. Blocks as `settings.load` does; raises UsageError."""
        return load(self.options, os.environ, database, self.config_file)


def with_settings(
    keys: Collection[str],
) -> Callable[[Callable[Concatenate[Given, P], int]], Callable[..., None]]:
    """A decorator for a command: adds `--config` and the settings' options, which it gets as `Given`.

    The command's own parameters come first in the help. It returns its exit code; what it raises is
    told in words (see `endings`).
    """

    settings = [info for info in option_table() if info.key in keys]

    def decorate(command: Callable[Concatenate[Given, P], int]) -> Callable[..., None]:
        def entry(**values: Any) -> None:
            config_file = values.pop("config")
            options = {info.key: _one_or_all(values.pop(info.key)) for info in settings}
            with ended() as ending:
                ending.code = command(Given(options, config_file), **values)  # type: ignore[call-arg]

        _dress(entry, command, settings)
        return entry

    return decorate


def panel_of(info: OptionInfo) -> str:
    """The heading under which the help shows the option."""
    if info.key.startswith("rabbitmq_"):
        return _BROKER
    return next((panel for panel, keys in _PANELS.items() if info.key in keys), _PROCESS)


def _dress(entry: Any, command: Callable[..., int], settings: list[OptionInfo]) -> None:
    """Give `entry` the name, the help and the parameters that typer is to see."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    panels = (_WHAT, _WHEN, _BROKER, _CATALOG, _PROCESS)
    ordered = sorted(settings, key=lambda info: panels.index(panel_of(info)))
    added = [_config_parameter(), *map(_parameter, ordered)]
    entry.__name__, entry.__doc__, entry.__annotations__ = command.__name__, command.__doc__, {}
    entry.__signature__ = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *added)]
    )


def _config_parameter() -> inspect.Parameter:
    option = typer.Option(
        None,
        "--config",
        metavar="FILE",
        help="TOML file with settings; else the one in the user's config folder, where there is one.",
    )
    return _keyword("config", option, Path | None)


def _parameter(info: OptionInfo) -> inspect.Parameter:
    option = typer.Option(
        None,
        info.option,
        metavar=_metavar(info),
        help=_help(info),
        rich_help_panel=panel_of(info),
    )
    # A list that is given twice is one list: silently using the last would leave a folder unwatched. Two
    # presets are refused in words.
    return _keyword(info.key, option, list[str] | None if info.kind in {"list", "preset"} else str | None)


def _keyword(name: str, option: object, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _help(info: OptionInfo) -> str:
    """What it does, its variable, and its default as a person would write it."""
    default = info.default.replace(",", ", ")  # so that a long list can be broken into lines
    # What has blanks is words about the default, not a value to type.
    shown = f"`{default}`" if " " not in info.default else info.default
    choices = f" ({info.accepts})" if info.kind in {"choice", "preset"} else ""
    return f"{info.help}{choices}. `{info.environment[0]}`" + (f", else {shown}" if default else "")


def _metavar(info: OptionInfo) -> str:
    """Short, since a wide one leaves no room for the help on 80 columns."""
    named = {
        "boolean": "true|false",
        "secret": "TEXT",
        "address": "HOST:PORT",
        "choice": "WORD",
        "preset": "WORD",
    }
    return named.get(info.kind, info.kind.upper())


def _one_or_all(value: Any) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
