"""What the parts are built with: what the service hands over, and what all of them stand on. Owns no thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import LeaseGuard
from file_watcher.catalog.store import CatalogStore
from file_watcher.lifecycle import FailureReport
from file_watcher.model import OutboxMessage
from file_watcher.ops.metrics import Metrics
from file_watcher.outlet import Outlet
from file_watcher.roster import Roster
from file_watcher.settings import Layers, Settings
from file_watcher.tenure import Tenure


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts share: the open database, who we are, where reports go."""

    settings: Settings
    instance_id: str
    database: Database
    metrics: Metrics
    on_failure: FailureReport
    on_delivered: Callable[[OutboxMessage], None]
    detail: Callable[[], Mapping[str, Any]]
    keep_ownership: Callable[[], None]
    outlet: Outlet | None = None
    """Where messages go instead of to the broker. Metadata are left to whoever is there to ask for them."""
    layers: Layers | None = None
    """What the settings were made of, where the database's rows steer, too; None inside another program."""
    log_from: Callable[[str], None] = lambda _level: None
    """Takes the level from which on the log is kept in the database."""

    @property
    def owns_all(self) -> bool:
        """Whether all that waits in the outbox is ours to send, also of libraries that are watched no more.

        Inside another program only what it watches now: a catalog may have served other folders before.
        """
        return self.database.is_sqlite and self.outlet is None


@dataclass(frozen=True, slots=True)
class Ground:
    """What every room's parts stand on: what is shared, what is watched, what is ours, and the rows of files."""

    at: Surroundings
    """With the settings that the first plan brought."""
    roster: Roster
    tenure: Tenure
    leases: LeaseGuard
    store: CatalogStore
