"""The first catalog: files, outbox, requests, instances; `libraries` and `settings` where they are missing.

`libraries` and `settings` may belong to another application that shares the database. They are made only
if they do not stand, and never altered beyond the one column that file_watcher adds. What was made here is
recorded (`adoption`), so that a downgrade takes that back and nothing else.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from file_watcher.catalog.migrations.adoption import share_tables, take_back

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WAITING = sa.text("published_ns IS NULL AND NOT unrouted")


def upgrade() -> None:
    """Make what is missing."""
    share_tables()
    _make_files()
    _make_events()
    _make_coordination()


def downgrade() -> None:
    """Drop what is ours, and of the shared tables what is recorded as made by us."""
    take_back()
    for table in ("fw_instances", "fw_requests", "fw_events", "fw_files", "fw_library_state"):
        op.drop_table(table)


def _make_files() -> None:
    op.create_table(
        "fw_files",
        sa.Column("id", BIG_KEY, primary_key=True),
        sa.Column("library_id", sa.Integer, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("ctime_ns", sa.BigInteger, nullable=False),
        sa.Column("device", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("xxh128", sa.LargeBinary),
        sa.Column("metadata", sa.Text),
        sa.Column("growing", sa.Boolean, nullable=False),
        sa.Column("racy", sa.Boolean, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
    )
    op.create_index("ux_fw_files_path", "fw_files", ["path", "library_id"], unique=True)
    op.create_index("ix_fw_files_inode", "fw_files", ["inode"])
    op.create_index("ix_fw_files_content", "fw_files", ["size", "sha256"])


def _make_events() -> None:
    op.create_table(
        "fw_events",
        sa.Column("sequence", BIG_KEY, primary_key=True),
        sa.Column("event_id", sa.String(36), nullable=False, unique=True),
        sa.Column("library_id", sa.Integer, nullable=False),
        sa.Column("file_id", sa.String(36)),
        sa.Column("event_type", sa.String(32), nullable=False),
        sa.Column("routing_key", sa.String(255), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("old_path", sa.LargeBinary),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("published_ns", sa.BigInteger),
        sa.Column("unrouted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_fw_events_waiting",
        "fw_events",
        ["sequence", "library_id"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index("ix_fw_events_created", "fw_events", ["created_ns"])


def _make_coordination() -> None:
    op.create_table(
        "fw_library_state",
        sa.Column("library_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("root_device", sa.BigInteger),
        sa.Column("root_inode", sa.BigInteger),
        sa.Column("fsid", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("first_scan_done", sa.Boolean, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "fw_requests",
        sa.Column("id", BIG_KEY, primary_key=True),
        sa.Column("instance_id", sa.String(64)),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("finished_ns", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fw_requests_state", "fw_requests", ["state"])
    op.create_table(
        "fw_instances",
        sa.Column("instance_id", sa.String(64), primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_ns", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
