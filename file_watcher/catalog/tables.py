"""The tables, as the code uses them; `migrations/` makes them (a test holds both together).

`libraries` and `settings` may belong to another application: nothing here relies on more of them than
the columns named below. Everything else is ours and begins with `fw_`.

Times are nanoseconds since the epoch. Paths are exact bytes, with a text beside them for people who look
at the tables. Unsigned 64-bit numbers (inode, device) are stored as two's complement (`rows.py`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    column,
    false,
    table,
    text,
)

metadata = MetaData()

BIG_KEY = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes only an INTEGER PRIMARY KEY the row's own number."""

libraries = Table(
    "libraries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("is_watched", Boolean, nullable=False, server_default=false()),
)

settings_as_made = Table(
    "settings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("value", Text),
)
"""The table where it is missing. Another application's may have no `id`: use `settings`."""

settings = table("settings", column("key", String), column("value", Text))
"""What every such table has. Without a primary key, so that no INSERT asks for one."""

adoption = Table("fw_adoption", metadata, Column("made", String(64), primary_key=True))
"""What the migration made of the shared tables: see `migrations/adoption`."""

config = table("fw_config", column("id", Integer), column("version", Integer))
"""On SQLite only: one row, whose version rises with each change of what is watched and how."""

library_state = Table(
    "fw_library_state",
    metadata,
    Column("library_id", Integer, primary_key=True, autoincrement=False),
    Column("root_device", BigInteger),
    Column("root_inode", BigInteger),
    Column("fsid", Text),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("first_scan_done", Boolean, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("mounts", Text),
    Column("root", LargeBinary),
)

files = Table(
    "fw_files",
    metadata,
    Column("id", BIG_KEY, primary_key=True),
    Column("library_id", Integer, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("path_text", Text, nullable=False),
    Column("file_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
    Column("xxh128", LargeBinary),
    Column("metadata", Text),
    Column("growing", Boolean, nullable=False),
    Column("racy", Boolean, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("awaits_idle", Boolean, nullable=False, server_default=false()),
    Column("attributes", String(64)),
    # The path comes first: files are looked up by path, without saying the library.
    Index("ux_fw_files_path", "path", "library_id", unique=True),
    Index("ix_fw_files_inode", "inode"),
    Index("ix_fw_files_content", "size", "sha256"),
)

WAITING = "published_ns IS NULL AND NOT unrouted"
"""What makes a message wait. Written alike in index and questions, or SQLite does not use the index."""

events = Table(
    "fw_events",
    metadata,
    # AUTOINCREMENT: the number of a pruned message is never given to a new one.
    Column("sequence", BIG_KEY, primary_key=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("library_id", Integer, nullable=False),
    Column("file_id", String(36)),
    Column("event_type", String(32), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("old_path", LargeBinary),
    Column("path_text", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("published_ns", BigInteger),
    Column("unrouted", Boolean, nullable=False, server_default=false()),
    Column("body", LargeBinary, nullable=False),
    Column("queue", String(255)),
    Column("snapshot", String(36)),
    Column("exchange", String(255)),
    Index(
        "ix_fw_events_waiting",
        "sequence",
        "library_id",
        sqlite_where=text(WAITING),
        postgresql_where=text(WAITING),
    ),
    Index("ix_fw_events_created", "created_ns"),
    sqlite_autoincrement=True,
)

outbox_marks = Table(
    "fw_outbox_marks",
    metadata,
    Column("library_id", Integer, primary_key=True, autoincrement=False),
    Column("sent_up_to", BigInteger, nullable=False),
)

requests = Table(
    "fw_requests",
    metadata,
    Column("id", BIG_KEY, primary_key=True),
    Column("instance_id", String(64)),
    Column("kind", String(32), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("result", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("finished_ns", BigInteger),
    Index("ix_fw_requests_state", "state"),
    sqlite_autoincrement=True,
)

instances = Table(
    "fw_instances",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("version", String(32), nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("heartbeat_ns", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("libraries", Text),
    Column("counters", Text),
    Column("errors", BigInteger),
    Column("last_event_ns", BigInteger),
)

library_rules = Table(
    "fw_library_rules",
    metadata,
    Column("library_id", Integer, primary_key=True, autoincrement=False),
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Settings of single libraries, by their name without `file_watch.`."""

library_origins = Table(
    "fw_library_origins",
    metadata,
    Column("library_id", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", String(64), primary_key=True),
    Column("was_watched", Boolean, nullable=False, server_default=false()),
)
"""Libraries that an instance's environment (or options, or file) names: watched as long as it does."""

leases = Table(
    "fw_leases",
    metadata,
    Column("library_id", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("renewed_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)
"""Who owns a library now. Times are the database's own clock."""

job_windows = Table(
    "fw_job_windows",
    metadata,
    Column("id", BIG_KEY, primary_key=True),
    Column("library_id", Integer, nullable=False),
    Column("dedupe_key", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("path_text", Text, nullable=False),
    Column("trigger", String(64), nullable=False),
    Column("events", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("window_start_ns", BigInteger, nullable=False),
    Column("due_ns", BigInteger, nullable=False),
    Index("ux_fw_job_windows_key", "dedupe_key", unique=True),
    Index("ix_fw_job_windows_due", "due_ns"),
    sqlite_autoincrement=True,
)

log_lines = Table(
    "fw_log",
    metadata,
    Column("id", BIG_KEY, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("instance_id", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("event", Text, nullable=False),
    Column("library", Text),
    Column("fields", Text, nullable=False),
    Index("ix_fw_log_created", "created_ns"),
    sqlite_autoincrement=True,
)
