r"""Resampling of boxes of different sizes to one size, on any device.

This is Pillow's ``resize(..., BILINEAR)`` of the cropped box: an antialiasing triangle filter as wide as the scale.
For a side of n pixels that is resized to m, the weight of input pixel i in output pixel x is

.. math:: w_{xi} \propto \max\Big(0,\ 1 - \frac{|i + \frac12 - (x + \frac12) \frac nm|}{\max(1, \frac nm)}\Big),
    \quad \sum_i w_{xi} = 1

and a mirrored image counts x from the other end. There are two ways to compute it, since what is fast on one device is
slow on the other:

- on an accelerator all images at once, by two matrix products, without rounding: the host waits for nothing, and the
  number of kernels does not depend on the batch;
- on the CPU image by image, by the filter for bytes that torchvision uses too, which skips the zeros of the products.
  It rounds to whole levels of 255 after each side, as Pillow does, with weights of 16 bits.

Each comes within 1.1 levels of Pillow's exact sum, 0.3 on average, which is what rounding twice amounts to.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pml_aug.to_device import to_device

from .pixel_store import Pictures

AT_ONCE = 2**24  # values of the images in a chunk, 4 bytes each; intermediate results take as much again


class Boxes(NamedTuple):
    """A box in each image, in pixels; all (B,), long, on the CPU."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirrored: Tensor  # 1: swap left and right after resizing


def resample(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """The boxes resized to squares, in levels from 0 to 255.

    Shapes:
        B pictures, B boxes -> (B, C, size, size), uint8 on the CPU, float32 elsewhere
    """
    return (one_by_one if pictures.pixels.device.type == "cpu" else at_once)(pictures, boxes, size)


def one_by_one(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """The boxes resized image by image, rounded to whole levels.

    Shapes:
        B pictures, B boxes -> (B, C, size, size), uint8, the channels of a pixel side by side
    """
    channels = pictures.channels
    strides = pictures.sizes[:, 1] * channels
    corners = pictures.starts + boxes.top * strides + boxes.left * channels
    squares = torch.empty(len(corners), size, size, channels, dtype=torch.uint8).movedim(-1, 1)
    columns = (corners, strides, boxes.height, boxes.width, boxes.mirrored)
    for square, (corner, stride, height, width, mirrored) in zip(
        squares, torch.stack(columns, dim=1).tolist(), strict=True
    ):
        box = pictures.pixels.as_strided((1, channels, height, width), (0, 1, stride, channels), corner)
        resized = nn.functional.interpolate(box, (size, size), mode="bilinear", antialias=True)[0]
        square.copy_(resized.flip(2) if mirrored else resized)
    return squares


def at_once(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """The boxes resized as a batch, not rounded.

    Shapes:
        B pictures, B boxes -> (B, C, size, size), float32
    """
    device, channels = pictures.pixels.device, pictures.channels
    tallest, widest = int(boxes.height.max()), int(boxes.width.max())
    strides = pictures.sizes[:, 1] * channels
    corners = pictures.starts + boxes.top * strides + boxes.left * channels
    per_box = to_device(torch.stack([corners, strides, boxes.height, boxes.width, boxes.mirrored]), device)
    squares = torch.empty(len(corners), channels, size, size, device=device)
    chunk = max(1, AT_ONCE // (tallest * widest * channels))
    for some, out in zip(per_box.split(chunk, dim=1), squares.split(chunk), strict=True):
        corner, stride, height, width, mirrored = some[:, :, None].unbind()
        row = torch.minimum(torch.arange(tallest, device=device), height - 1)
        levels = windows(pictures.pixels, corner + row * stride, widest * channels).view(-1, tallest, widest, channels)
        by_row = levels.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format).flatten(1, 2)
        across = _product(by_row, filter_weights(width, widest, size, mirrored).transpose(1, 2))
        down = _product(filter_weights(height, tallest, size), across.view(-1, tallest, channels * size))
        out.copy_(down.view(-1, size, channels, size).transpose(1, 2))
    return squares


def filter_weights(length: Tensor, longest: int, size: int, mirrored: Tensor | None = None) -> Tensor:
    """Weights of the input pixels in each output pixel, by the formula above; 0 past the end of a side.

    Args:
        length: of each side, at most ``longest``.
        mirrored: 1 where output pixels are counted from the other end; None for nowhere.

    Shapes:
        (B, 1), (B, 1) -> (B, size, longest)

    Example:
        >>> filter_weights(torch.tensor([[4]]), 5, 2)[0]
        tensor([[0.4286, 0.4286, 0.1429, 0.0000, 0.0000],
                [0.0000, 0.1429, 0.4286, 0.4286, 0.0000]])
    """
    scale = (length / size)[:, :, None]
    output = torch.arange(size, device=length.device)
    if mirrored is not None:
        output = torch.where(mirrored.bool(), size - 1 - output, output)
    pixel = torch.arange(longest, device=length.device)
    distance = (pixel + 0.5 - (output[..., None] + 0.5) * scale).abs()
    weights = (1 - distance / scale.clamp(min=1)).clamp(min=0) * (pixel < length[:, :, None])
    return weights / weights.sum(dim=2, keepdim=True)


def windows(pixels: Tensor, starts: Tensor, length: int) -> Tensor:
    """``length`` bytes from each start.

    Shapes:
        flat, (...) -> (..., length)
    """
    return pixels.as_strided((len(pixels) - length + 1, length), (1, 1))[starts]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The batched product in float32, also under autocast, which does not change products with ``out=``."""
    return torch.bmm(left, right, out=left.new_empty(len(left), left.shape[1], right.shape[2]))
