"""The settings: one typed model, and where each value came from."""
