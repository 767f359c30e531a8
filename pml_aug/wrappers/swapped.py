from pml_aug.swapped import swapped

__all__ = ["swapped"]
