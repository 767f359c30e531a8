"""Figures as inline SVG, legible on light and dark pages."""

from .accuracy_cost import accuracy_cost
from .forest import forest
from .learning_curves import learning_curves
from .svg import Figure, method_colours
from .tuning_curves import tuning_curves
from .uncertainty import uncertainty_figures

__all__ = [
    "Figure",
    "accuracy_cost",
    "forest",
    "learning_curves",
    "method_colours",
    "tuning_curves",
    "uncertainty_figures",
]
