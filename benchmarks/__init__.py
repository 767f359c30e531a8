"""A fair comparison of metric-learning losses with and without augmentation: ``python -m benchmarks COMMAND``."""
