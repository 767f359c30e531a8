"""Networks from images to features; each tells the features' width as ``out_features``.

Only what every installation can import is imported here; configs name the other networks by their module.
"""

from benchmarks.trunks.small_cnn import SmallCNN

__all__ = ["SmallCNN"]
