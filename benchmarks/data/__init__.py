"""Labelled images from the shipped glyphs, an npz file, a folder per class, or a published data set."""

from .arrays import ImageArrays
from .loading import load
from .ragged import RaggedImages

__all__ = ["ImageArrays", "RaggedImages", "load"]
