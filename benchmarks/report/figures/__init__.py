"""Figures as inline SVG, legible on light and dark pages."""

from benchmarks.report.figures.accuracy_cost import accuracy_cost
from benchmarks.report.figures.forest import forest
from benchmarks.report.figures.learning_curves import learning_curves
from benchmarks.report.figures.svg import Figure, method_colours
from benchmarks.report.figures.tuning_curves import tuning_curves

__all__ = ["Figure", "accuracy_cost", "forest", "learning_curves", "method_colours", "tuning_curves"]
