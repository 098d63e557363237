"""Training over many tasks: images, episodes, the outer loop, and its files."""
