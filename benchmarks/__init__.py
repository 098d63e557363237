"""Commands that reproduce every number in docs/results.md.  Run them from the repository's root."""
