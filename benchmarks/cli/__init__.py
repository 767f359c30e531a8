"""The commands of ``python -m benchmarks``: arguments and printing only."""
