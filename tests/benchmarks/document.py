"""The JSON files that the benchmarks write: machine, versions and all that was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine, versions


def document(scale: float, content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with where, when and on what it was measured; a `scale` below 1 is a trial of the benchmarks."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": scale,
        "machine": machine(),
        "versions": versions(),
        **content,
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write it whole or not at all, so that an interrupted run leaves the file of the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    draft.rename(path)
