"""What many of the end-to-end tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An empty folder to be watched."""
    folder = tmp_path / "library"
    folder.mkdir()
    return folder
