"""What outages and snapshots need: marks of what may have been sent, messages for one queue, known mounts.

All additions are empty at first, which is right for a catalog of before: nothing is known to have been
unsent, no message belongs to a snapshot, and mounts are learnt at the next look.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and the table of marks."""
    op.create_table(
        "fw_outbox_marks",
        sa.Column("library_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sent_up_to", sa.BigInteger, nullable=False),
    )
    # Whatever the version before recorded may have been sent.
    op.execute(
        "INSERT INTO fw_outbox_marks (library_id, sent_up_to) "
        "SELECT library_id, max(sequence) FROM fw_events GROUP BY library_id"
    )
    op.add_column("fw_events", sa.Column("queue", sa.String(255)))
    op.add_column("fw_events", sa.Column("snapshot", sa.String(36)))
    op.add_column("fw_library_state", sa.Column("mounts", sa.Text))


def downgrade() -> None:
    """Take the additions away again."""
    op.drop_column("fw_library_state", "mounts")
    op.drop_column("fw_events", "snapshot")
    op.drop_column("fw_events", "queue")
    op.drop_table("fw_outbox_marks")
