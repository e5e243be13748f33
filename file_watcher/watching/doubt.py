"""Why a library is suspended, and what would end it. Values only."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from file_watcher.errors import RetryableError
from file_watcher.model import Library, display
from file_watcher.watching.sight import RootState


class Doubt(Enum):
    """What there is to doubt."""

    ROOT_AWAY = "root away"
    """The root is missing, unreadable or not mounted: over when it is back."""
    ROOT_REPLACED = "root replaced"
    """Another root than the remembered one: over when that is back, or by approval."""
    LOSS = "loss"
    """Too much is missing at once: over when enough of it is back, or by approval."""
    BLIND = "blind"
    """Only the kernel may watch, and cannot: over when it can."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """The doubt, and its reason in words."""

    doubt: Doubt
    reason: str

    @property
    def can_be_approved(self) -> bool:
        """Whether somebody may say that it is meant to be so."""
        return self.doubt in {Doubt.ROOT_REPLACED, Doubt.LOSS}


_ROOT_WORDS: Final[Mapping[RootState, str]] = {
    RootState.MISSING: "the folder is not there",
    RootState.UNREADABLE: "the folder cannot be read",
    RootState.UNMOUNTED: "its disk is not mounted",
}


def root_doubt(library: Library, state: RootState) -> Suspension:
    """The suspension of a library whose root is no more what it was."""
    if state is not RootState.REPLACED:
        return Suspension(Doubt.ROOT_AWAY, _ROOT_WORDS[state])
    where = display(library.root)
    return Suspension(
        Doubt.ROOT_REPLACED, f"another folder or disk than before is at {where}; {_mend(library)}"
    )


def away(library: Library, error: RetryableError) -> Suspension:
    """The suspension of a library whose root cannot be opened, in the words for one that went while it was watched."""
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        return root_doubt(library, RootState.MISSING)
    if isinstance(cause, PermissionError):
        return root_doubt(library, RootState.UNREADABLE)
    return Suspension(Doubt.ROOT_AWAY, str(error))


def loss_doubt(library: Library, missing: int, known: int) -> Suspension:
    """The suspension of a library that lost too much."""
    return Suspension(Doubt.LOSS, f"{missing} of {known} files are missing at once; {_mend(library)}")


def approval_of(library: Library) -> str:
    """The command by which a person approves of what was found in the library, to be copied."""
    return f"python -m file_watcher approve {shlex.quote(library.name)}"


def _mend(library: Library) -> str:
    return f"if that is meant: {approval_of(library)}"
