"""The folders of the user that hold the catalog, our name and the configuration file.

The places are the XDG ones (`platformdirs`): `$XDG_STATE_HOME/file_watcher` or
`~/.local/state/file_watcher`, and likewise for the configuration.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import string
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs

from file_watcher.errors import UsageError
from file_watcher.settings.schema import Settings
from file_watcher.system import place_new

_APPLICATION: Final = "file_watcher"
_ID_FILE: Final = "instance_id"
_ID_LENGTH: Final = 8
_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_USABLE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the catalog and the instance's name are kept. Nothing is made or looked at.

    Raises UsageError where no home folder is known, as for a user id that has no account.
    """
    folder = _user_folder(environ, "XDG_STATE_HOME", platformdirs.user_state_path(_APPLICATION))
    if not folder.is_absolute():
        raise UsageError("No home folder is known for this user: set HOME, XDG_STATE_HOME or DATABASE_URL")
    return folder


def config_file(environ: Mapping[str, str]) -> Path:
    """The configuration file that is read where none is named; it need not exist."""
    folder = _user_folder(environ, "XDG_CONFIG_HOME", platformdirs.user_config_path(_APPLICATION))
    return folder / f"{_APPLICATION}.toml"


def prepare_state_folder(folder: Path) -> None:
    """Make the folder where it is missing, and prove that it can be written to.

    Touches the disk. Raises UsageError with the mend: a read-only or full disk, or a missing right.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"\0")
    except OSError as exc:
        raise UsageError(
            f"The state folder {str(folder)!r} cannot be written to ({exc.strerror or exc}): give this user"
            " the right to write there, or set XDG_STATE_HOME or DATABASE_URL to another place"
        ) from exc


def instance_id(settings: Settings, folder: Path) -> str:
    """INSTANCE_ID, else the name that this state folder keeps: made once, the same ever after.

    Touches the disk; the folder must be prepared. Of two processes that start at once both get the same
    name. Raises UsageError where the file cannot be read or written, or holds no usable name.
    """
    if settings.instance_id is not None:
        return settings.instance_id
    file = folder / _ID_FILE
    try:
        if not file.exists():
            _write_new_id(file)
        kept = file.read_bytes().strip()
    except OSError as exc:
        raise UsageError(
            f"The instance's name cannot be kept in {str(file)!r} ({exc.strerror or exc}): set INSTANCE_ID,"
            " or give this user the right to read and write there"
        ) from exc
    if not _USABLE.fullmatch(kept):
        raise UsageError(f"{str(file)!r} holds no usable name: delete the file, or set INSTANCE_ID")
    return kept.decode("ascii")


def kept_instance_id(environ: Mapping[str, str]) -> str | None:
    """The name that this user's state folder keeps; None where it keeps none, or none that can be read.

    Makes nothing.
    """
    try:
        kept = (state_folder(environ) / _ID_FILE).read_bytes().strip()
    except (OSError, UsageError):
        return None
    return kept.decode("ascii") if _USABLE.fullmatch(kept) else None


def _write_new_id(file: Path) -> None:
    """Write the name elsewhere, then link it into place: whole or not at all, and the first one wins."""
    name = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{_ID_FILE}-")
    try:
        with os.fdopen(descriptor, "wb") as content:
            content.write(name.encode("ascii") + b"\n")
            content.flush()
            os.fsync(content.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its name is ours
            place_new(draft, str(file))
    finally:
        with contextlib.suppress(FileNotFoundError):  # it was moved into place
            os.unlink(draft)


def _user_folder(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """The folder that the given environment names, else what the platform says of this user."""
    named = environ.get(variable, "")
    # A relative path is to be ignored (XDG Base Directory Specification 0.8, "Basics").
    return Path(named) / _APPLICATION if os.path.isabs(named) else default
