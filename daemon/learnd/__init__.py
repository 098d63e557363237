"""learnd: a continual-learning daemon for image tasks."""

__version__ = "0.1.0"
