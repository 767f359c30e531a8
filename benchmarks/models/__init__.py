"""Trained models in use: loaded from a run directory, applied to images, searched with, exported."""

from benchmarks.models.load import load_model
from benchmarks.models.model import EmbeddingModel

__all__ = ["EmbeddingModel", "load_model"]
