"""What was told to the world (the catalog) and what is still to be told (the outbox)."""
