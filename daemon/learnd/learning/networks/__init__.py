"""From a file to features: readers, augmentation, the shared CNN and its adapters."""
