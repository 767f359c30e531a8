"""Labelled images, held in memory: the glyphs shipped here, an npz file, or a folder of images by class."""

from benchmarks.datasets.arrays import ImageArrays
from benchmarks.datasets.loading import load
from benchmarks.datasets.ragged import RaggedImages

__all__ = ["ImageArrays", "RaggedImages", "load"]
