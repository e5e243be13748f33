"""What a fleet needs: rules of libraries, leases, windows of jobs, a log, and what each instance tells of itself.

Everything is new or empty at first: no library has a rule, none is leased, no window is open. Triggers tell of
changes where the database permits them (`change_triggers`).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from file_watcher.catalog import change_triggers
from file_watcher.catalog.migrations import adoption

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


_NOT_YET_NAMED = (
    # Versions before this one watched what the environment named, and nothing else; they kept no origins.
    # The next start marks again what its environment names, and remembers that it was not watched before.
    "UPDATE libraries SET is_watched = false "
    "WHERE is_watched AND id IN (SELECT library_id FROM fw_library_state)"
)

_NAMED_NO_MORE = (
    "UPDATE libraries SET is_watched = false WHERE is_watched AND id IN "
    "(SELECT library_id FROM fw_library_origins WHERE NOT was_watched)"
)

_STILL_KNOWN = (
    # So that the first step's downgrade knows the rows that we wrote from those of somebody else.
    "INSERT INTO fw_library_state (library_id, state, first_scan_done, updated_ns) "
    "SELECT id, 'active', false, 0 FROM libraries "
    "WHERE id IN (SELECT library_id FROM fw_library_origins UNION SELECT library_id FROM fw_library_rules) "
    "AND id NOT IN (SELECT library_id FROM fw_library_state)"
)


def upgrade() -> None:
    """Add the tables and columns."""
    _make_steering()
    _make_jobs()
    _make_log()
    op.add_column("fw_instances", sa.Column("libraries", sa.Text))
    op.add_column("fw_instances", sa.Column("counters", sa.Text))
    op.add_column("fw_instances", sa.Column("errors", sa.BigInteger))
    op.add_column("fw_instances", sa.Column("last_event_ns", sa.BigInteger))
    op.add_column("fw_events", sa.Column("exchange", sa.String(255)))
    op.add_column("fw_library_state", sa.Column("root", sa.LargeBinary))
    if adoption.infer_record() and adoption.made_by_us() & {"libraries", adoption.COLUMN}:
        op.execute(_NOT_YET_NAMED)
    change_triggers.install(op.get_bind())


def downgrade() -> None:
    """Take the additions away again; libraries are watched as if no environment had named them.

    What is recorded of the shared tables stays for the first step's downgrade.
    """
    change_triggers.remove(op.get_bind())
    op.execute(_STILL_KNOWN)
    op.execute(_NAMED_NO_MORE)
    op.drop_column("fw_library_state", "root")
    op.drop_column("fw_events", "exchange")
    for column in ("last_event_ns", "errors", "counters", "libraries"):
        op.drop_column("fw_instances", column)
    for table in ("fw_log", "fw_job_windows", "fw_leases", "fw_library_origins", "fw_library_rules"):
        op.drop_table(table)


def _make_steering() -> None:
    op.create_table(
        "fw_library_rules",
        sa.Column("library_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "fw_library_origins",
        sa.Column("library_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", sa.String(64), primary_key=True),
        sa.Column("was_watched", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "fw_leases",
        sa.Column("library_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("renewed_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
    )


def _make_jobs() -> None:
    op.create_table(
        "fw_job_windows",
        sa.Column("id", BIG_KEY, primary_key=True),
        sa.Column("library_id", sa.Integer, nullable=False),
        sa.Column("dedupe_key", sa.String(255), nullable=False),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("trigger", sa.String(64), nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("window_start_ns", sa.BigInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ux_fw_job_windows_key", "fw_job_windows", ["dedupe_key"], unique=True)
    op.create_index("ix_fw_job_windows_due", "fw_job_windows", ["due_ns"])


def _make_log() -> None:
    op.create_table(
        "fw_log",
        sa.Column("id", BIG_KEY, primary_key=True),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("library", sa.Text),
        sa.Column("fields", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fw_log_created", "fw_log", ["created_ns"])
