"""How the service and its parts are, also before there are any. Functions only; none of them blocks."""

from __future__ import annotations

from dataclasses import replace

from file_watcher.assembly import Parts
from file_watcher.catalog.database import Database
from file_watcher.journal import Journal
from file_watcher.model import Health
from file_watcher.ops.watchdog import Watchdog


def threads_health(failed: str | None) -> Health:
    """`failed`: the thread that died."""
    if failed is not None:
        return Health("threads", ok=False, detail=f"The thread {failed} died; the service ends.")
    return Health("threads", ok=True, detail="All threads are alive.")


def stages_health(watchdog: Watchdog | None) -> Health:
    """Whether every stage gets on."""
    if watchdog is None:
        return Health("stages", ok=True, detail="No stage has been started yet.")
    return watchdog.health()


def database_health(database: Database, parts: Parts | None, outage: str | None) -> Health:
    """`outage`: why the catalog cannot be opened."""
    if outage is not None or parts is None:
        return Health("database", ok=False, detail=outage or "The catalog is being opened.")
    known = database.health()
    asked = (known, parts.deciding.health(), parts.desk.health())
    # A circuit opens after a few failures; whoever met the first of them says so earlier.
    worst = next((health for health in asked if not health.ok), known)
    return replace(worst, facts=known.facts)


def broker_health(parts: Parts | None) -> Health:
    """Whether messages can be published."""
    if parts is None:
        return Health("broker", ok=False, detail="Not connected before the catalog is open.")
    return parts.publisher.health()


def libraries_health(parts: Parts | None) -> Health:
    """Whether the libraries are watched, and how each is kept, by its name."""
    if parts is None:
        return Health("libraries", ok=False, detail="Not watched before the catalog is open.")
    return parts.keeper.health()


def steering_health(parts: Parts | None) -> Health:
    """Whether what the database says of libraries and settings is followed."""
    if parts is None or parts.steering is None:
        return Health("steering", ok=True, detail="Nothing but its own settings steers it.")
    return parts.steering.health()


def journal_health(journal: Journal | None) -> Health:
    """Whether the log reaches the database."""
    if journal is None:
        return Health("journal", ok=True, detail="The log is left to the program around it.")
    return journal.health()
