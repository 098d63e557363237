"""The plugin contract: what an algorithm is, what it is given, and what it returns."""
