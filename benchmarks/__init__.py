"""A fair comparison of metric-learning losses with and without augmentation: ``pml-aug COMMAND``."""
