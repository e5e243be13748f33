"""The settings themselves: every name, type, default and meaning, once.

The models are frozen and hold values that are ready to use: seconds, bytes, tuples, absolute paths. They can
be built from text as well as from values (`FileWatchSettings(debounce_time="500ms")`), and hide secrets in
their repr. A description is the help text of the option and of the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from file_watcher.settings import kinds
from file_watcher.settings.addresses import BrokerAddress, parse_broker_url, scrub, sqlite_file, sqlite_url
from file_watcher.settings.presets import AUDIO, DEFAULT_PRESET, LEFTOVERS, SIDECARS


@dataclass(frozen=True, slots=True)
class Named:
    """Where a setting's variable is not simply its name in capitals, or its default needs words."""

    variable: str = ""
    aliases: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    default: str | None = None
    """How the default is shown, where the value does not speak for itself."""


class _Frozen(BaseModel):
    # A validation error would quote what it was given, which may be a password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _says(description: str, **field: Any) -> Any:
    """A model field with the one line that documents it."""
    return Field(description=description, **field)


class RabbitMQSettings(_Frozen):
    """Where the broker is, who we are there and what we publish to. A URL wins over its parts."""

    url: kinds.BrokerUrl = _says(
        "Whole address; wins over host, port, user, password and vhost; amqps:// for TLS", default=None
    )
    host: kinds.Host = _says("Host of the broker", default="localhost")
    port: Annotated[kinds.OptionalPort, Named(default="5672 (5671 with TLS)")] = _says(
        "Port of the broker", default=None
    )
    user: kinds.ShortText = _says("User at the broker", default="guest")
    password: Annotated[kinds.Secret, Named("RABBITMQ_PASS", default="guest")] = _says(
        "Password; better as a variable, since options show in the list of processes",
        default=SecretStr("guest"),
    )
    vhost: kinds.ShortText = _says("Virtual host", default="/")
    exchange: kinds.ShortText = _says("Topic exchange that all events go to", default="file_events")
    jobs_exchange: kinds.ShortText = _says("Topic exchange that jobs go to", default="file_jobs")
    ca_file: kinds.OptionalPath = _says("Certificates (PEM) that sign the broker's; means TLS", default=None)
    cert_file: kinds.OptionalPath = _says("Our certificate (PEM) for the broker; means TLS", default=None)
    key_file: kinds.OptionalPath = _says("Key (PEM) of our certificate", default=None)
    declare: kinds.Declare = _says(
        "Exchange: active makes it, passive wants it to exist, none leaves it alone", default="active"
    )

    def address(self) -> BrokerAddress:
        """The address in parts, out of the URL where one is given. Its repr hides the password."""
        if self.url is not None:
            return parse_broker_url(self.url.get_secret_value())
        return BrokerAddress(
            tls=self.ca_file is not None or self.cert_file is not None,
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password.get_secret_value(),
            vhost=self.vhost,
        )

    def connection_url(self) -> SecretStr:
        """The percent-encoded URL to connect to, password included."""
        return SecretStr(self.address().url(with_password=True))

    def shown(self) -> str:
        """The same URL for eyes and logs: `***` in the place of the password."""
        return self.address().url(with_password=False)


class FileWatchSettings(_Frozen):
    """What is watched, and how. Every name is also a row of the database (`file_watch.<name>`)."""

    preset: kinds.PresetName = _says(
        "Set of settings to begin with; what is set by itself holds over it", default=DEFAULT_PRESET
    )
    enabled: kinds.Switch = _says("Watch at all", default=True)
    directories: kinds.Paths = _says("Further folders to watch, besides DATA_DIR", default=())
    recursive: kinds.Switch = _says("Watch the folders below, too", default=True)
    patterns: kinds.SomePatterns = _says(
        "Names of the files to watch, or paths below a library, in any case", default=AUDIO
    )
    ignore_patterns: kinds.Patterns = _says(
        "Names or paths of files and folders to leave out, with all that they hold",
        default=LEFTOVERS + SIDECARS,
    )
    debounce_time: kinds.Debounce = _says("A file is looked at when it was quiet this long", default=1.0)
    max_wait: kinds.Duration = _says(
        "A file that stays open or keeps growing is told after this, and again each time", default=30.0
    )
    move_window: kinds.Duration = _says(
        "Time for the other half of a move to turn up before a file is told as deleted", default=2.0
    )
    idle_timeout: Annotated[kinds.IdleTimeout, Named(aliases=("STREAM_TIMEOUT",))] = _says(
        "For streams: tell file.idle when nothing was written to a file for this long", default=None
    )
    create_missing: kinds.Switch = _says("Make folders that are to be watched but missing", default=False)
    scan_workers: kinds.Workers = _says(
        "Threads that read files, at most, and processes that read small media; many small files in memory take one",
        default=4,
    )
    buffer_size: kinds.Amount = _says("Files that may wait for a thread", default=1_024)
    batch_size: kinds.Amount = _says("Rows in one commit, at most", default=256)
    rescan_interval: kinds.Duration = _says(
        "Time between two comparisons of disk and catalog", default=3600.0
    )
    observer: kinds.Observer = _says(
        "native: the kernel tells; polling: scans only; auto: what the filesystem can", default="auto"
    )
    poll_interval: kinds.Duration = _says("Time between two scans where the kernel can't tell", default=30.0)
    follow_symlinks: kinds.Switch = _says("Go into folders behind symbolic links", default=False)
    emit_chmod: kinds.Switch = _says("Tell a change of mode or owner alone as modified", default=False)
    hashing: kinds.Hashing = _says(
        "full: files are read and hashed; none: only size, times and inode tell a change, hashes are null",
        default="full",
    )
    max_watches: Annotated[kinds.OptionalAmount, Named(default="what the kernel allows")] = _says(
        "Kernel watches (one a folder) to use at most; other folders are polled", default=None
    )
    rate_limit: kinds.OptionalRate = _says("Events per second, at most", default=None)
    read_rate_limit: kinds.OptionalRate = _says("MB per second read from the disks, at most", default=None)
    nice: kinds.Nice = _says("Priority given up, from 0 (none) to 19 (most)", default=0)
    tag_memory_limit: Annotated[kinds.Size, Named(default="512MB")] = _says(
        "Memory for reading tags; a file that needs more has none", default=512_000_000
    )
    tag_timeout: kinds.Duration = _says(
        "Time for reading the tags of one file, below 1 MiB all of it", default=10.0
    )
    priority_patterns: kinds.Patterns = _says("Names of the files to read before all others", default=())
    loss_guard: Annotated[kinds.LossGuard, Named(default="50% and 100 files")] = _says(
        "A library that loses more than this unseen is suspended, nothing is told as deleted",
        default=(0.5, 100),
    )
    allowed_roots: Annotated[kinds.Paths, Named(default="any")] = _says(
        "Folders that every watched folder must lie in", default=()
    )
    outbox_limit: kinds.Amount = _says(
        "Unsent events from which on those of the same file are merged", default=1_000_000
    )
    retention: Annotated[kinds.Retention, Named(default="7d,1000000")] = _says(
        "Published events are kept this long, and at most so many", default=(604_800.0, 1_000_000)
    )
    alternate_exchange: kinds.OptionalName = _says(
        "Exchange for events that no queue is bound for", default=None
    )
    log_to_database: kinds.DatabaseLog = _says(
        "The least that is logged into the database, too", default="warning"
    )


class Settings(_Frozen):
    """All settings of one process."""

    data_dir: Annotated[
        kinds.Roots, Named(aliases=("WATCH_DIR",), deprecated=("FILE_WATCHER_SCAN_PATH",))
    ] = _says("Folder(s) to watch; a missing one is waited for", default=(Path("/data/music"),))
    instance_id: Annotated[kinds.InstanceId, Named(default="made once, kept in the state folder")] = _says(
        "Name of this watcher in its events; each one that is set has a catalog of its own", default=None
    )
    max_concurrent_files: kinds.InFlight = _says("Files in hand at once, at most", default=100)
    rabbitmq: RabbitMQSettings = Field(default_factory=RabbitMQSettings)
    database_url: Annotated[kinds.DatabaseUrl, Named(default="SQLite in the user's state folder")] = _says(
        "Where the catalog is: a SQLite file or a PostgreSQL database", default=None
    )
    http_addr: Annotated[kinds.ListenAddress, Named("WATCHER_HTTP_ADDR", default="127.0.0.1:8085")] = _says(
        "Address of /healthz, /readyz and /metrics", default=("127.0.0.1", 8085)
    )
    log_level: kinds.LogLevel = _says("The least that is logged", default="INFO")
    log_format: Annotated[kinds.LogFormat, Named(default="console on a terminal, else json")] = _says(
        "How the log is written", default="auto"
    )
    watch: FileWatchSettings = Field(default_factory=FileWatchSettings)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every folder to watch, absolute, in the order given, links not resolved."""
        return self.data_dir + self.watch.directories

    def catalog_url(self, state_folder: Path) -> str:
        """The database's URL, password included; without DATABASE_URL a SQLite file in the state folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        name = f"catalog-{self.instance_id}.sqlite3" if self.instance_id else "catalog.sqlite3"
        return sqlite_url(state_folder / name)

    def catalog_file(self, state_folder: Path) -> Path | None:
        """The SQLite file that holds the catalog; None where the database is a server."""
        return sqlite_file(self.catalog_url(state_folder))

    def shown_database_url(self, state_folder: Path) -> str:
        """The database's URL for eyes and logs, without passwords and parameters."""
        return scrub(self.catalog_url(state_folder))
