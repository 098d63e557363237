"""How what was learnt becomes a version of the knowledge, and how versions are undone."""
