"""Networks from images (N, C, H, W) to features (N, F).

Only what every installation can import is imported here; configs name the other networks by their module.
"""

from .small_cnn import SmallCNN

__all__ = ["SmallCNN"]
