"""`completion`: the script that lets a shell complete our commands. Owns no thread.

The script is printed, never installed: whose start-up files are changed is the user's business.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final, Literal

import typer

from file_watcher.cli.endings import FINE

PROGRAM: Final = "file-watcher"
"""The console script: shells complete programs by their name, hence not `python -m file_watcher`."""
_VARIABLE: Final = "_FILE_WATCHER_COMPLETE"
"""What typer derives from the program's name; set while a shell asks."""


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
) -> None:
    """Print a script that lets the shell complete `file-watcher`.

    Put it where your shell looks for it; nothing is installed by itself:

    bash: `file-watcher completion bash > ~/.local/share/bash-completion/completions/file-watcher`

    zsh: `file-watcher completion zsh > ~/.zfunc/_file-watcher`, with `fpath+=~/.zfunc` before `compinit` in `.zshrc`

    fish: `file-watcher completion fish > ~/.config/fish/completions/file-watcher.fish`
    """
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=_VARIABLE, shell=shell))
    raise typer.Exit(FINE)


def called_as() -> str:
    """What the program is called by whoever has started it; shells that ask what fits know `PROGRAM` only."""
    is_program = os.path.basename(sys.argv[0]) == PROGRAM or _VARIABLE in os.environ
    return PROGRAM if is_program else "python -m file_watcher"


def answer_shells() -> None:
    """Let typer answer where a shell asks what fits. Costs nothing where none does."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
