"""Commands about the daemon itself: set it up, run it, watch it."""
