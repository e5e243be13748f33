"""Puts the commands together into one application. Owns no thread."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from file_watcher.cli.asking import approve, scan, sync
from file_watcher.cli.checking import check
from file_watcher.cli.consuming import consume
from file_watcher.cli.migrating import migrate
from file_watcher.cli.options import EVERYTHING, WHERE, with_settings
from file_watcher.cli.replaying import replay
from file_watcher.cli.run import run
from file_watcher.cli.status import status
from file_watcher.version import VERSION

_OWN_OPTIONS = frozenset({"--help", "--version"})


class RunByDefault(TyperGroup):
    """Without a command it is `run`, with run's options: `python -m file_watcher --data-dir /music`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` where no command stands."""
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


app.command()(with_settings(EVERYTHING)(run))
app.command()(with_settings(WHERE)(status))
app.command()(with_settings(WHERE)(sync))
app.command()(with_settings(WHERE)(scan))
app.command()(with_settings(WHERE)(approve))
app.command()(with_settings(WHERE)(replay))
app.command()(with_settings(WHERE)(consume))
app.command()(with_settings(EVERYTHING)(check))
app.command()(with_settings(WHERE)(migrate))


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name on the disk may hold what the terminal's encoding cannot show: never a reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="file_watcher")
