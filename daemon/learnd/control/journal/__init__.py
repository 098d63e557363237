"""The journal: the one durable record of what must be done and what was done (SQLite)."""
