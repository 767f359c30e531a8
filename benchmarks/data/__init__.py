"""Labelled images, held in memory: the glyphs shipped here, an npz file, or a folder of images by class."""

from benchmarks.data.arrays import ImageArrays
from benchmarks.data.loading import load
from benchmarks.data.ragged import RaggedImages

__all__ = ["ImageArrays", "RaggedImages", "load"]
