"""What trainings take, told before they start: images, hours, disk."""

from .probe import probe
from .total import Estimate, estimate

__all__ = ["Estimate", "estimate", "probe"]
