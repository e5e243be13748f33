"""Runs the steps on the connection that `catalog.schema` hands over, inside its transaction.

Nothing is configured here beyond that: logging stays as the program has it.
"""

from __future__ import annotations

from alembic import context

from file_watcher.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
