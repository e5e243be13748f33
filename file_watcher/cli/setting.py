"""`settings …`: the settings that the database holds for all libraries and instances. Owns no thread.

A service that runs notices by itself what is written here; what holds only from its next start is said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson, print_json
from file_watcher.cli.endings import FINE, complain
from file_watcher.cli.helping import PlainCommand, PlainGroup
from file_watcher.cli.options import CATALOG, Given, with_settings
from file_watcher.errors import UsageError
from file_watcher.settings.rules import AT_ONCE
from file_watcher.settings.sources import Given as Value
from file_watcher.settings.sources import from_database, unusable_line
from file_watcher.settings.variables import BY_TOML, VARIABLES, WATCH_TABLE, Variable, nearest, shown_value

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.settings import Loaded

_ABOVE: Final = ("option", "environment")
"""The layers that hide a row."""

settings = typer.Typer(
    cls=PlainGroup,
    help="The settings that the database holds, for all libraries and instances.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_All = Annotated[
    bool, typer.Option("--all", help="Also those that nobody has set: their preset or default holds.")
]


def show_settings(given: Given, *, every: _All = False, as_json: AsJson = False) -> int:
    """Show the settings `file_watch.…`, and which layer each comes from.

    As this command sees them: the environment, the options and the file of a service elsewhere may be others.
    """
    with _opened(given) as (_database, rows):
        loaded = given.load(rows)
    found = [_document(variable, loaded, rows) for variable in VARIABLES if _is_of_watch(variable)]
    found += [_strange(key, value) for key, value in sorted(rows.items()) if key not in BY_TOML]
    if as_json:
        print_json({"settings": found})
        return FINE
    shown = [each for each in found if every or each["row"] is not None or each["origin"] not in _UNSET]
    if shown:
        _show_table(shown)
    else:
        typer.echo("No setting is set; --all shows what holds.")
    complain(*(f"warning: {line}" for line in from_database(rows).warnings))
    return FINE


_UNSET: Final = ("default", "preset")


def set_settings(
    given: Given,
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Such as `debounce_time=2s`.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Write settings into the database. What cannot be used is refused, and nothing is written then."""
    from file_watcher.catalog.library_admin import SettingsAdmin

    wanted = _wanted(pairs)
    with _opened(given) as (database, rows):
        loaded = given.load(rows | wanted)
        before = given.load(rows).warnings
        # What fits by itself may not fit together with the rest: such a row would be passed over.
        if passed_over := [line for line in loaded.warnings if line not in before]:
            raise UsageError(*passed_over)
        admin = SettingsAdmin(database)
        for key, value in wanted.items():
            admin.put(key, value)
    done = [{"key": key, "value": value, "effect": _effect(key, loaded)} for key, value in wanted.items()]
    if as_json:
        print_json({"set": done})
    else:
        for each in done:
            typer.echo(f"{each['key']} = {each['value']}: {each['effect']}.")
    return FINE


def unset_settings(
    given: Given,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="Such as `debounce_time`.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Delete settings from the database; the next layer's value holds then."""
    from file_watcher.catalog.library_admin import SettingsAdmin

    full = [_full(key) for key in keys]
    with _opened(given) as (database, rows):
        if missing := [key for key in full if key not in rows]:
            raise UsageError(*(f"{key} is not set in the database" for key in missing))
        admin = SettingsAdmin(database)
        for key in full:
            admin.drop(key)
        loaded = given.load({key: value for key, value in rows.items() if key not in full})
    values = {key: _value(BY_TOML[key], loaded) if key in BY_TOML else None for key in full}
    if as_json:
        print_json({"unset": [{"key": key, "value": value} for key, value in values.items()]})
    else:
        for key, value in values.items():
            holds = f"; {loaded.origins[key]} holds: {value}" if value is not None else ""
            typer.echo(f"{key} is not set any more{holds}.")
    return FINE


@contextmanager
def _opened(given: Given) -> Iterator[tuple[Database, dict[str, str]]]:
    """The catalog, and its rows `file_watch.*`."""
    from file_watcher.catalog.steering import read_steering
    from file_watcher.cli.catalogs import read_catalog

    with read_catalog(given.load().settings) as database:
        yield database, dict(read_steering(database).settings)


def _is_of_watch(variable: Variable) -> bool:
    return variable.info.toml.startswith(f"{WATCH_TABLE}.")


def _full(key: str) -> str:
    """The key as the row has it; `debounce-time` and `debounce_time` are understood, too."""
    bare = key.strip().removeprefix(f"{WATCH_TABLE}.").replace("-", "_")
    return f"{WATCH_TABLE}.{bare}"


def _wanted(pairs: list[str]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    problems = []
    for pair in pairs:
        key, separator, value = pair.partition("=")
        full = _full(key)
        if not separator:
            problems.append(f"{pair!r} is no key=value; such as debounce_time=2s")
        elif not value:
            problems.append(f"{pair!r} has no value; `settings unset {key}` deletes a setting")
        elif full not in BY_TOML:
            problems.append(_not_ours(key, full))
        else:
            wanted[full] = value
            problems += _problems_of(full, value)
    if problems:
        raise UsageError(*problems)
    return wanted


def _problems_of(key: str, value: str) -> list[str]:
    try:
        BY_TOML[key].read(value)
    except ValueError as exc:
        return [unusable_line(BY_TOML[key], Value(key, value), str(exc))]
    return []


def _not_ours(key: str, full: str) -> str:
    """The line about a name that no row can have: a setting that stands elsewhere, or none at all."""
    variable = BY_TOML.get(full.removeprefix(f"{WATCH_TABLE}.").lower())
    if variable is not None:
        return (
            f"{key.strip()} is no setting that the database holds; give it as {variable.info.option}, as "
            f"{variable.info.environment[0]}, or as {variable.info.toml} in the file of settings"
        )
    table = f"{WATCH_TABLE}."
    meant = nearest(full.lower(), [known for known in BY_TOML if known.startswith(table)], beginning=table)
    hint = f"did you mean {meant}?" if meant else "`settings list --all` shows those that there are"
    return f"{key.strip()} is no known setting; {hint}"


def _value(variable: Variable, loaded: Loaded) -> str:
    return shown_value(variable, getattr(loaded.settings.watch, variable.field))


def _document(variable: Variable, loaded: Loaded, rows: Mapping[str, str]) -> dict[str, Any]:
    key = variable.info.toml
    return {
        "key": key,
        "value": _value(variable, loaded),
        "origin": loaded.origins[key],
        "row": rows.get(key),
        "takes_effect": "at once" if variable.field in AT_ONCE else "at the next start",
    }


def _strange(key: str, value: str) -> dict[str, Any]:
    """A row that no setting of ours is called."""
    return {"key": key, "value": None, "origin": None, "row": value, "takes_effect": None}


def _effect(key: str, loaded: Loaded) -> str:
    origin = loaded.origins[key]
    if origin in _ABOVE:
        return f"written, but here the {origin} holds over it"
    if key.removeprefix(f"{WATCH_TABLE}.") in AT_ONCE:
        return "holds at once"
    return "holds from the next start of a service"


def _show_table(found: list[dict[str, Any]]) -> None:
    from file_watcher.cli.tables import print_table

    rows = [
        (
            each["key"].removeprefix(f"{WATCH_TABLE}."),
            each["value"] or "–",
            each["origin"] or "no setting",
            each["row"] or "–",
            each["takes_effect"] or "never",
        )
        for each in found
    ]
    print_table(("setting", "value", "from", "database", "takes effect"), rows)


settings.command("list", cls=PlainCommand)(with_settings(CATALOG)(show_settings))
settings.command("set", cls=PlainCommand)(with_settings(CATALOG)(set_settings))
settings.command("unset", cls=PlainCommand)(with_settings(CATALOG)(unset_settings))
