from pml_aug.hooks.refresh_statistics import refresh_statistics
from pml_aug.hooks.strength_schedule import strength_at

__all__ = ["refresh_statistics", "strength_at"]
