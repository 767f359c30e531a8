"""The number of a trunk's features."""

from typing import Any

import torch
from torch import Tensor, nn


def feature_width(trunk: nn.Module, channels: int, image_size: int) -> int:
    """F, from one forward pass over two blank images, unless the trunk says it as ``out_features``.

    The pass runs in eval mode and without gradients, so BatchNorm's statistics stay; the shared random generators are
    put back afterwards, and every layer returns to its mode.

    Args:
        trunk: from (N, channels, image_size, image_size) to (N, F).
        channels: of the images that the trunk will get.
        image_size: pixels per side of those images.

    Raises:
        ValueError: if the pass fails, or gives something else than one vector of floats per image.

    Example:
        >>> feature_width(nn.Sequential(nn.Flatten(), nn.LazyLinear(7)), channels=1, image_size=4)
        7
    """
    known: Any = getattr(trunk, "out_features", None)
    if isinstance(known, int):
        return known
    modes = {layer: layer.training for layer in trunk.modules()}
    images = torch.zeros(2, channels, image_size, image_size)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            features = trunk.eval()(images)
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"the network does not take images of shape {tuple(images.shape)}: {reason}. If it needs three channels, "
            "set trunk.normalization (a mean and a std for each of them); if it needs another size, set data.image_size"
        ) from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2 or not features.is_floating_point():
        found = f"{features.dtype} {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"the network must give floats of shape (images, features), here (2, F), but gave {found}")
    return features.shape[1]
