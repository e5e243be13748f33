"""How the help shows options: a switch takes no value, so none is shown behind it. Owns no thread."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command whose help shows `--json`, and not `--json <bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for what holds commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        return _plain(super().get_params(ctx))


def _plain(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return parameters
