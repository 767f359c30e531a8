"""The commands of ``pml-aug``: arguments and printing only."""
