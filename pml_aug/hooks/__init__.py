from pml_aug.hooks.expansion_schedule import fraction_at, min_cosine_at, schedule_expansion
from pml_aug.hooks.refresh_from_loader import refresh_from_loader
from pml_aug.hooks.refresh_statistics import refresh_statistics
from pml_aug.hooks.strength_schedule import strength_at
from pml_aug.hooks.virtual_classes_schedule import start_virtual_classes

__all__ = [
    "fraction_at",
    "min_cosine_at",
    "refresh_from_loader",
    "refresh_statistics",
    "schedule_expansion",
    "start_virtual_classes",
    "strength_at",
]
