"""A trained model: from images or features to unit embeddings."""

from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import UserError
from ..runs.model_description import ModelDescription
from .transform import ImageTransform


class Standardization(nn.Module):
    """Features as the training standardised them, those left out that had one value in all rows of its file.

    Args:
        num_used: F, how many are used.

    Shapes:
        (N, features of the file) -> (N, F), float32
    """

    columns: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, num_used: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.arange(num_used))
        self.register_buffer("mean", torch.zeros(num_used, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(num_used, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        return ((features[:, self.columns].to(self.mean.dtype) - self.mean) / self.scale).float()


class StandardizedTrunk(nn.Module):
    """A trunk whose features are standardised as those were that the head was trained on.

    Shapes:
        images (N, C, H, W) -> (N, F), float32
    """

    def __init__(self, network: nn.Module, standardization: Standardization) -> None:
        super().__init__()
        self.network = network
        self.standardization = standardization

    def forward(self, images: Tensor) -> Tensor:
        return self.standardization(self.network(images))


class EmbeddingModel(nn.Module):
    """Embeddings of unit length; :func:`load_model` makes it.

    Attributes:
        transform: levels of an image file, an image of Pillow or an array, (C, H, W), uint8; None for a model that
            takes features. Batches of levels are what the model takes.
        description: what ``model.json`` says.
        has_uncertainty: whether it knows the uncertainty of an embedding (IDML).

    Shapes:
        (N, C, H, W), levels from 0 to 255 of any dtype, or (N, features) -> (N, D), float32
    """

    def __init__(
        self,
        description: ModelDescription,
        prepare: nn.Module,
        trunk: nn.Module,
        embedder: nn.Module,
        transform: ImageTransform | None,
    ) -> None:
        super().__init__()
        self.description = description
        self.transform = transform
        self.prepare = prepare
        self.trunk = trunk
        self.embedder = embedder
        last = embedder[-1] if isinstance(embedder, nn.Sequential) else embedder
        self.has_uncertainty = hasattr(last, "uncertainty")

    @property
    def embedding_size(self) -> int:
        """D."""
        return self.description.embedding_size

    @overload
    def forward(self, inputs: Tensor, with_uncertainty: Literal[False] = ...) -> Tensor: ...
    @overload
    def forward(self, inputs: Tensor, with_uncertainty: Literal[True]) -> tuple[Tensor, Tensor]: ...

    def forward(self, inputs: Tensor, with_uncertainty: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Embeddings (N, D), or with the uncertainty of each, (N,): the length of IDML's uncertainty embedding.

        Raises:
            UserError: the uncertainty is asked for, but the model has none.
        """
        features = self.trunk(self.prepare(inputs))
        if not with_uncertainty:
            return self._unit(self.embedder(features))
        if not self.has_uncertainty:
            raise UserError(
                f"the model of run {self.description.run} knows no uncertainty: method={self.description.method} has "
                "no introspective head; train with method=idml"
            )
        last: Any = self.embedder
        if isinstance(self.embedder, nn.Sequential):
            last = self.embedder[-1]
            for layer in self.embedder[:-1]:
                features = layer(features)
        return self._unit(last(features)), last.uncertainty(features).float().norm(dim=1)

    def _unit(self, rows: Tensor) -> Tensor:
        return normalize(rows[:, : self.embedding_size].float(), dim=1)  # training mode has more columns: uncertainty
