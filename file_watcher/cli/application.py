"""Puts the commands together into one application. Owns no thread."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from file_watcher.cli.asking import approve, scan, sync
from file_watcher.cli.checking import check
from file_watcher.cli.completing import answer_shells, called_as, completion
from file_watcher.cli.consuming import consume
from file_watcher.cli.duplicating import duplicates
from file_watcher.cli.events import events
from file_watcher.cli.helping import PlainCommand, PlainGroup
from file_watcher.cli.libraries import library
from file_watcher.cli.log_lines import log
from file_watcher.cli.migrating import migrate
from file_watcher.cli.options import CATALOG, EVERYTHING, WHERE, with_settings
from file_watcher.cli.replaying import replay
from file_watcher.cli.run import run
from file_watcher.cli.setting import settings
from file_watcher.cli.status import status
from file_watcher.cli.verifying import verify
from file_watcher.version import VERSION

_OWN_OPTIONS = frozenset({"--help", "--version"})


class RunByDefault(PlainGroup):
    """Without a command it is `run`, with run's options: `python -m file_watcher --data-dir /music`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` where no command stands; not while a shell asks which commands there are."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in _OWN_OPTIONS):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunByDefault,
    name="file_watcher",
    help="Watches libraries of files and tells every change over RabbitMQ, exactly as the disk has it. "
    "Without a command it runs, as with `run`.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"file_watcher {VERSION}")
        raise typer.Exit


@app.callback()
def _options_of_all(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that come before a command."""


_SERVICE: Final = "The service"
_ASKING: Final = "Ask the service that runs"
_STEERING: Final = "Steer it through the database"
_READING: Final = "What was told, and whether it still holds"

app.command(cls=PlainCommand, rich_help_panel=_SERVICE)(with_settings(EVERYTHING)(run))
app.command(cls=PlainCommand, rich_help_panel=_SERVICE)(with_settings(EVERYTHING)(check))
app.command(cls=PlainCommand, rich_help_panel=_SERVICE)(with_settings(WHERE)(migrate))
app.command(cls=PlainCommand, rich_help_panel=_SERVICE)(completion)
app.command(cls=PlainCommand, rich_help_panel=_ASKING)(with_settings(WHERE)(status))
app.command(cls=PlainCommand, rich_help_panel=_ASKING)(with_settings(WHERE)(sync))
app.command(cls=PlainCommand, rich_help_panel=_ASKING)(with_settings(WHERE)(scan))
app.command(cls=PlainCommand, rich_help_panel=_ASKING)(with_settings(WHERE)(approve))
app.command(cls=PlainCommand, rich_help_panel=_ASKING)(with_settings(WHERE)(replay))
app.add_typer(library, name="library", rich_help_panel=_STEERING)
app.add_typer(settings, name="settings", rich_help_panel=_STEERING)
app.command(cls=PlainCommand, rich_help_panel=_READING)(with_settings(WHERE)(consume))
app.command(cls=PlainCommand, rich_help_panel=_READING)(with_settings(CATALOG)(events))
app.command(cls=PlainCommand, rich_help_panel=_READING)(with_settings(CATALOG)(log))
app.command(cls=PlainCommand, rich_help_panel=_READING)(with_settings(CATALOG)(verify))
app.command(cls=PlainCommand, rich_help_panel=_READING)(with_settings(CATALOG)(duplicates))


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name on the disk may hold what the terminal's encoding cannot show: never a reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    answer_shells()
    app(prog_name=called_as())
