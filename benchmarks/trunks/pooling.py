"""From a network's last feature map to one vector an image."""

import torch
from torch import Tensor, nn

POOLINGS = ("avg", "max", "avg+max")


class Pooled(nn.Module):
    """A network's last feature map, pooled over the image.

    Args:
        features: from (N, 3, H, W) to a feature map (N, out_features, h, w).
        out_features: channels of that map.
        pooling: mean (``avg``), maximum (``max``) or their sum (``avg+max``, as Proxy-Anchor's official code has it).

    Shapes:
        (N, 3, H, W), or (N, 1, H, W), which is repeated to three channels -> (N, out_features)

    Example:
        >>> image = torch.tensor([[[[1.0, 3.0]]]])
        >>> [Pooled(nn.Identity(), 3, pooling)(image)[0, 0].item() for pooling in ("avg", "max", "avg+max")]
        [2.0, 3.0, 5.0]
    """

    def __init__(self, features: nn.Module, out_features: int, pooling: str) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, but got {pooling!r}")
        self.features = features
        self.out_features = out_features
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        maps = self.features(images)
        pooled = torch.zeros((), dtype=maps.dtype, device=maps.device)
        if "avg" in self.pooling:
            pooled = pooled + maps.mean(dim=(2, 3))
        if "max" in self.pooling:
            pooled = pooled + maps.amax(dim=(2, 3))
        return pooled
