"""The disks below one library's root, as its post keeps them: noticed, learnt, doubted, accepted.

Owns no thread; only the keeper's thread calls it. What a disk that is away or in doubt means for a look
at a file stands in `nested`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import structlog

from file_watcher.model import Library, display
from file_watcher.watching.doubt import approval_of
from file_watcher.watching.memory import Memory
from file_watcher.watching.mounts import Mount
from file_watcher.watching.nested import MountIdentity, MountsBelow
from file_watcher.watching.notices import LibraryNotices
from file_watcher.watching.sight import Eyes

log = structlog.get_logger(__name__)

_SHOWN: Final = 3
"""Mount points that one sentence names; autofs and container hosts have hundreds."""


class Disks:
    """Sees to the mounts below one root. Methods raise CatalogUnavailable where they ask the catalog."""

    def __init__(self, library: Library, eyes: Eyes, memory: Memory, notices: LibraryNotices) -> None:
        self._library = library
        self._eyes = eyes
        self._memory = memory
        self._notices = notices
        self._mounted: Mapping[bytes, Mount] = {}
        """What was mounted when the watch was put up last."""
        self._remembered: Mapping[bytes, MountIdentity] | None = None

    def begin(self, remembered: Mapping[bytes, MountIdentity] | None) -> None:
        """The root was opened, with what was remembered of its disks."""
        self._remembered = remembered

    def have_changed(self) -> bool:
        """Whether anything was mounted or unmounted below the root since `settle`."""
        return self._eyes.mounts_below(self._library).mounted != self._mounted

    def settle(self) -> None:
        """Before a watch is put up: take note of what is mounted, and learn what harms no catalogued file."""
        below = self._eyes.mounts_below(self._library)
        self._accept(
            learn=[point for point in below.in_doubt if not self._memory.holds_below(point)],
            forget=[point for point in below.away if not self._memory.holds_below(point)],
        )
        self._mounted = below.mounted
        self._tell(self._eyes.mounts_below(self._library))

    def trust_what_is_mounted(self) -> None:
        """A scan missed nothing: the disks in doubt hold all that is catalogued.

        Nothing is learnt where anything was mounted since `settle`: the scan may have passed there before.
        """
        below = self._eyes.mounts_below(self._library)
        if below.mounted == self._mounted:
            self._accept(learn=below.in_doubt, forget=())

    def accept_all(self) -> None:
        """The operator has spoken: what is mounted belongs here, and what is not mounted does not."""
        below = self._eyes.mounts_below(self._library)
        self._accept(learn=below.in_doubt, forget=below.away)

    def are_in_doubt(self) -> bool:
        """Whether an approval would change anything."""
        below = self._eyes.mounts_below(self._library)
        return bool(below.away or below.in_doubt)

    def trouble(self) -> str | None:
        """What is wrong with the disks, in words that say what to do; None where all is well."""
        below = self._eyes.mounts_below(self._library)
        parts = []
        if below.away:
            parts.append(
                f"the disk usually mounted at {_names(below.away)} is away; its files are kept as they were told"
            )
        if below.in_doubt:
            parts.append(
                f"another disk than before is mounted at {_names(below.in_doubt)}; "
                "files that are not on it are kept as they were told"
            )
        if not parts:
            return None
        return f"{', and '.join(parts)}. If that is meant: {approval_of(self._library)}"

    def _accept(self, *, learn: Collection[bytes], forget: Collection[bytes]) -> None:
        if learn or forget:
            self._eyes.accept_mounts(self._library, learn=learn, forget=forget)
        known = self._eyes.known_mounts(self._library)
        if known != self._remembered:
            self._remembered = known
            self._notices.mounts(known)

    def _tell(self, below: MountsBelow) -> None:
        if (trouble := self.trouble()) is not None:
            log.warning(
                "disks_in_doubt",
                library=self._library.name,
                away=[display(point) for point in sorted(below.away)],
                other=[display(point) for point in sorted(below.in_doubt)],
                detail=trouble,
            )


def _names(points: Collection[bytes]) -> str:
    shown = [display(point) for point in sorted(points)[:_SHOWN]]
    more = len(points) - len(shown)
    return ", ".join(shown) + (f" and {more} more places" if more else "")
