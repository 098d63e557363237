"""Real example tasks: carried by a package, or fetched."""
