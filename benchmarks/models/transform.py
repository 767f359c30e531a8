"""From an image as it is found to the levels that a model takes."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..config.targets import deferred
from ..data.decoding import Form, as_rgb, decode, fit_short_side
from ..errors import UserError
from ..runs.model_description import ImageForm
from ..training.images import Transform
from ..training.pixel_store import Pictures

ImageLike = str | Path | Image.Image | np.ndarray


class ImageTransform:
    """Levels of an image, in the form that the evaluated images of the training had; normalising is the model's part.

    Args:
        form: of the images.

    Raises:
        UserError: the transform of the form cannot be built.

    Shapes:
        an image -> (C, H, W), uint8

    Example:
        >>> identity = {"_target_": "benchmarks.training.transforms.Identity"}
        >>> transform = ImageTransform(ImageForm(1, [2, 2], None, True, identity))
        >>> transform(np.full((4, 6, 3), 7, np.uint8)).tolist()
        [[[7, 7], [7, 7]]]
    """

    def __init__(self, form: ImageForm) -> None:
        self.form = form
        try:
            self.evaluated = cast(Transform, deferred(form.transform)())
        except (TypeError, ValueError) as error:
            raise UserError(f"the model's transform {form.transform.get('_target_')}: {error}") from error
        self.generator = torch.Generator()

    def __call__(self, image: ImageLike) -> Tensor:
        """The levels of an image.

        Args:
            image: a file, an image of Pillow, or an array, uint8, of shape (H, W), (H, W, 1) or (H, W, 3).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no image, or too small for the model.
        """
        fitted = self.fitted(image)
        flat = torch.from_numpy(np.array(fitted).reshape(-1))  # a copy: Pillow's memory is read-only
        sizes = torch.tensor([[fitted.height, fitted.width]])
        self.evaluated.check(sizes)
        room = flat.new_zeros(fitted.width * self.form.channels)
        pictures = Pictures(torch.cat([flat, room]), torch.zeros(1, dtype=torch.long), sizes, self.form.channels)
        return self.evaluated(pictures, self.generator)[0]

    def fitted(self, image: ImageLike) -> Image.Image:
        """The image in the channels and the size that images of the training data had."""
        opened = self._rgb(image)
        if self.form.fit is not None:
            height, width = self.form.fit
            opened = ImageOps.fit(opened, (width, height), method=Image.Resampling.BILINEAR)
        elif self.form.short_side is not None:
            opened = fit_short_side(opened, self.form.short_side)
        return opened.convert("L") if self.form.channels == 1 else opened

    def _rgb(self, image: ImageLike) -> Image.Image:
        if isinstance(image, (str, Path)):
            return Image.fromarray(decode(Path(image), Form(None, "square", self.form.upright)))
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
                raise ValueError(
                    "an image must be uint8 of shape (H, W), (H, W, 1) or (H, W, 3), but is "
                    f"{image.dtype} of shape {image.shape}"
                )
            image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"the image has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
        return as_rgb(image, self.form.upright)
