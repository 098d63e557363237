"""Files that survive a power cut, the lock on a state, and the archives of kept images."""
