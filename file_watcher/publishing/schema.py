"""The JSON Schemas of the wire (draft 2020-12), shipped with the package for consumers and tests.

They are strict about what is there (every key, its type, what each kind of event must hold) and
silent about unknown keys, since the contract may grow.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

NAMES: Final = ("event", "notice", "job")
"""`event` describes the messages of `file.*`, `notice` those of `library.*` and `snapshot.*`, `job` all those of the
exchange of jobs."""


def load(name: str) -> dict[str, Any]:
    """The schema of that name as a fresh dict. Reads a file of the package; KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    text = resources.files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
