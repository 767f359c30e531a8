"""Labelled images from the shipped glyphs, an npz file, a folder per class, or a published data set."""

from benchmarks.data.arrays import ImageArrays
from benchmarks.data.loading import load
from benchmarks.data.ragged import RaggedImages

__all__ = ["ImageArrays", "RaggedImages", "load"]
