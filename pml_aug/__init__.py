"""Embedding augmentation for pytorch-metric-learning.

Take the parts from their subpackages, as with the host library: ``from pml_aug import wrappers, distances``.
"""

__version__ = "0.1.0"
