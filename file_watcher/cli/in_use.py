"""What a running service works with, as its heartbeat tells, beside what is set where a command is typed.

A service keeps the settings that it was started with; another terminal may have others, and a command that judged
by those alone would have people mend what is well. Everything blocks on the caller's thread; owns none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from file_watcher.cli.pages import readiness
from file_watcher.errors import FileWatcherError
from file_watcher.model import display
from file_watcher.paths import native, real_path
from file_watcher.settings import Loaded, Settings

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.requests import Instance

_THIS_MACHINE: Final = re.compile(r"^(127\.0\.0\.1|\[::1\]):")
_WHERE: Final = ("rabbitmq_url", "rabbitmq_host", "rabbitmq_port", "rabbitmq_vhost", "rabbitmq_exchange")
"""The settings that say where events go."""
_OF_THE_BROKER: Final = "broker: "


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go: `where` as an endpoint is shown, without user and password."""

    where: str
    exchange: str

    def __str__(self) -> str:
        return f"exchange {self.exchange} at {self.where}"

    def is_at(self, other: Target) -> bool:
        """Whether both are at the same broker, however this machine is called."""
        return _spelled(self.where) == _spelled(other.where)


@dataclass(frozen=True, slots=True)
class InUse:
    """A service that runs with the catalog that is meant here. What its heartbeat does not tell is empty or None."""

    name: str
    folders: tuple[Path, ...]
    target: Target | None
    instance: Instance

    def other_folders(self, loaded: Loaded) -> bool:
        """Whether a folder that is set here is none of those that it watches."""
        watched = {real_path(folder) for folder in self.folders}
        return bool(watched) and any(real_path(root) not in watched for root in loaded.settings.roots)

    def differing(self, here: Target) -> list[str]:
        """The variables that would have to be set to what it was given; none where events go to the same place."""
        if self.target is None:
            return []
        wrong = {
            "RABBITMQ_URL": not self.target.is_at(here),
            "RABBITMQ_EXCHANGE": self.target.exchange != here.exchange,
        }
        return [variable for variable, differs in wrong.items() if differs]

    def broker_trouble(self) -> str | None:
        """Why it cannot publish, as it says itself; empty where it can, None where it cannot be asked or is not
        ready for another reason."""
        ready, reasons = readiness(self.instance) or (False, [])
        if ready:
            return ""
        told = [reason for reason in reasons if reason.startswith(_OF_THE_BROKER)]
        return told[0].removeprefix(_OF_THE_BROKER) if told else None


def target_here(settings: Settings) -> Target:
    """Where events would go by what is set here. Raises UsageError."""
    from file_watcher.part_configs import broker_config

    config = broker_config(settings)
    return Target(str(config.endpoint), config.exchange)


def is_broker_given(loaded: Loaded) -> bool:
    """Whether somebody said here where events go."""
    return any(loaded.origins[key] != "default" for key in _WHERE)


def in_use(settings: Settings) -> InUse | None:
    """The one service that runs with the catalog that is meant; None where none or several do, or none can be found.

    Asks the catalog. Never raises for what is wrong with it.
    """
    from file_watcher.cli.catalogs import find_running, open_catalog

    try:
        with open_catalog(settings) as database:
            instance = find_running(database, settings).instance
            return None if instance is None else _in_use(database, instance)
    except FileWatcherError:
        return None


def hint_of_other_broker(settings: Settings) -> str | None:
    """What to set here where the running service uses another broker or exchange; None where nothing says so."""
    running, here = in_use(settings), target_here(settings)
    if running is None or not (variables := running.differing(here)):
        return None
    return f"the running service ({running.name}) uses {running.target}: set the same {' and '.join(variables)} here"


def _in_use(database: Database, instance: Instance) -> InUse:
    from file_watcher.catalog.bookkeeping import root_of
    from file_watcher.catalog.steering import read_steering

    names = {library.get("name") for library in instance.libraries}
    steered = read_steering(database).libraries
    folders = [native(root_of(row.path)) for row in steered if row.is_watched and row.name in names]
    broker = instance.detail.get("broker") or {}
    return InUse(
        f"{instance.instance_id}, process {instance.pid}",
        tuple(Path(folder) for folder in folders or instance.detail.get("roots") or ()),
        Target(broker["where"], broker["exchange"]) if broker else None,
        instance,
    )


def shown_folders(folders: tuple[Path, ...]) -> str:
    """Folders in one line."""
    return ", ".join(display(real_path(folder)) for folder in folders)


def _spelled(where: str) -> str:
    return _THIS_MACHINE.sub("localhost:", where)
