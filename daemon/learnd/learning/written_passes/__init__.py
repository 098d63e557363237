"""conv4's forward and backward passes written out, for a faster outer loop on a CPU."""
