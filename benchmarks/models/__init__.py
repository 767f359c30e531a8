"""Trained models in use: loaded from a run directory, applied to images, searched with, exported."""

from .load import load_model
from .model import EmbeddingModel

__all__ = ["EmbeddingModel", "load_model"]
