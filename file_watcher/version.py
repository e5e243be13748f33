"""The version of this package, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("file-watcher")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"


VERSION: Final = _installed()
