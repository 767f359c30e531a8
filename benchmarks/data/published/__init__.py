"""Published data sets: where to download them, and the layouts of their directories."""
