"""Where a `verify` stands, kept in the user's state folder so that it goes on there after Ctrl-C or a kill.

Not in the catalog: that one may be read-only for whoever verifies, or shared by services on several hosts, and a
command writes nothing but settings and requests there. Written whole or not at all, every few seconds; what was
read since is read once more. Owns no thread.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from file_watcher.errors import FileWatcherError

MOST_KEPT: Final = 1000
"""Findings that are told again by whoever goes on; the counts are always whole."""


class PlaceNotKept(FileWatcherError):
    """The place cannot be written down; the verification itself is not touched by that."""


@dataclass(slots=True)
class Place:
    """How far it came: all files of the libraries before `library_id`, and of that one up to `after`.

    `seconds` is how long it has worked so far, `damage` what was wrong, as it was told.
    """

    library_id: int | None = None
    after: bytes = b""
    size: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    damage: list[dict[str, Any]] = field(default_factory=list)

    @property
    def files(self) -> int:
        """Files that are done with."""
        return self.counts.total()


class PlaceFile:
    """Keeps the place of one verification: of these libraries of this catalog, narrowed to these paths."""

    def __init__(self, folder: Path, catalog: str, libraries: Sequence[int], paths: Sequence[bytes]) -> None:
        scope = json.dumps([catalog, sorted(libraries), [path.hex() for path in paths]])
        name = hashlib.sha256(scope.encode()).hexdigest()[:16]
        self._path = folder / f"verify-{name}.json"

    def load(self) -> Place | None:
        """The place; None where there is none, or none that can be read: then all is verified from the beginning."""
        try:
            return _place_of(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, place: Place) -> None:
        """Write the place down. Raises PlaceNotKept."""
        document = {
            "library_id": place.library_id,
            "after": base64.b64encode(place.after).decode("ascii"),
            "size": place.size,
            "seconds": place.seconds,
            "counts": dict(place.counts),
            "damage": place.damage,
        }
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._path.parent, prefix=".verify-", delete=False
            ) as draft:
                json.dump(document, draft)
            os.replace(draft.name, self._path)
        except OSError as exc:
            raise PlaceNotKept(
                f"Where it stands cannot be kept in {self._path.parent} ({exc.strerror or exc}): it would begin anew"
            ) from exc

    def remove(self) -> None:
        """Forget the place: all is done, or to be begun anew."""
        with contextlib.suppress(OSError):  # it may never have been written
            self._path.unlink(missing_ok=True)


def _place_of(document: Mapping[str, Any]) -> Place:
    return Place(
        int(document["library_id"]),
        base64.b64decode(document["after"], validate=True),
        int(document["size"]),
        float(document["seconds"]),
        Counter({str(name): int(count) for name, count in document["counts"].items()}),
        [dict(each) for each in document["damage"]],
    )
