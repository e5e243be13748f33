"""What streams and changes of mode need: which files are still to be told as idle, and whose they are.

Both are empty at first. So nothing that was told before is told as idle now, and modes and owners are learnt at
the next look without a message: switching either setting on brings no flood.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns."""
    op.add_column("fw_files", sa.Column("awaits_idle", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("fw_files", sa.Column("attributes", sa.String(64)))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("fw_files", "attributes")
    op.drop_column("fw_files", "awaits_idle")
