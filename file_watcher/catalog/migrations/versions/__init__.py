"""The catalog's schema, step by step (alembic). Steps that were released are never edited."""
