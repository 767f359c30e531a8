"""The number of a trunk's features."""

from typing import Any

import torch
from torch import Tensor, nn


def feature_width(trunk: nn.Module, shape: tuple[int, ...]) -> int:
    """F, from one forward pass over two blank inputs, unless a trunk of images says it as ``out_features``.

    The pass runs in eval mode and without gradients, so BatchNorm's statistics stay; the shared random generators are
    put back afterwards, and every layer returns to its mode.

    Args:
        trunk: from (N, *shape) to (N, F).
        shape: of an input: (channels, height, width) of an image, or (features,).

    Raises:
        ValueError: if the pass fails, or gives something else than one vector of floats per image.

    Example:
        >>> feature_width(nn.Sequential(nn.Flatten(), nn.LazyLinear(7)), (1, 4, 4))
        7
    """
    known: Any = getattr(trunk, "out_features", None)
    if isinstance(known, int) and len(shape) == 3:
        return known
    modes = {layer: layer.training for layer in trunk.modules()}
    inputs = torch.zeros(2, *shape)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            features = trunk.eval()(inputs)
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"the network does not take inputs of shape {tuple(inputs.shape)}: {reason}. If it needs three channels, "
            "set trunk.normalization (a mean and a std for each of them); if it needs another size, set data.image_size"
        ) from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2 or not features.is_floating_point():
        found = f"{features.dtype} {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"the network must give floats of shape (images, features), here (2, F), but gave {found}")
    return features.shape[1]
