"""Published data sets: where they come from and how their directories are laid out."""
