"""The processes of the learning plane that are started by name."""
