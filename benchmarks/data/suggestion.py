"""Trunk, protocol and image size for images of one's own, as a command line to copy."""

import math
import shlex
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..config.data import DataConfig
from .listing import Listing
from .split import split_of

SIDES = (32, 48, 64, 96, 128, 160, 224)  # that images are resized to
LARGE = 96  # pixels: from this side, what a network learnt from photographs is of use
FEW = 160  # training classes that the short protocol has steps enough for
PER_SECOND = 30  # images at 224 pixels of EfficientNet-Lite0 on two cores, roughly
TRAINING = 15  # minutes of `choose` after the features


class Suggestion(NamedTuple):
    """What to begin with."""

    command: str  # to be put after ``pml-aug``
    reason: str


def suggest(config: DataConfig, listing: Listing, sizes: np.ndarray) -> Suggestion | None:
    """What suits the number of classes and images and their sizes; None where no split is possible.

    Images with short sides of 96 pixels and more: features of a pretrained network, on which :command:`choose` compares
    losses. Smaller ones: a small network from pixels.

    Args:
        config: of the data.
        listing: images that can be used.
        sizes: height and width of each, (N, 2).
    """
    counts = np.bincount(listing.labels, minlength=len(listing.class_names))
    keys = [f"data={config.kind}", f"data.path={config.path}", f"data.name={config.name}"]
    if config.split_seed is not None:
        keys.append(f"data.split_seed={config.split_seed}")
    single = config.single_images or ("distractors" if (counts == 1).any() else None)
    if single:
        keys.append(f"data.single_images={single}")
        config = replace(config, single_images=single)
    folds = next((number for number in (4, 3, 2) if _splits(config, listing, number)), None)
    if folds is None:
        return None
    if folds < 4:
        keys.append(f"protocol.num_folds={folds}")
    trained = [split_of(listing, config, fold, folds).train for fold in range(folds)]
    classes = min(len(np.unique(listing.labels[rows])) for rows in trained)
    middle = float(np.median(sizes.min(axis=1)))
    side = max((size for size in SIDES if size <= middle), default=SIDES[0])
    what = f"{len(listing.files):,} images, {classes:,} training classes in a fold, short sides of {middle:.0f} pixels"
    if side >= LARGE:
        minutes = TRAINING + math.ceil(len(listing.files) / PER_SECOND / 60 * (side / 224) ** 2)
        more = [f"data.image_size={side}", "trunk=efficientnet_lite0", "protocol=frozen", f"minutes={minutes}"]
        return Suggestion(
            _line("choose", [*keys, *more]),
            f"{what}: features of a pretrained network, computed once, on which losses train in seconds",
        )
    batch = [f"protocol.batch_size={4 * classes}"] if classes < 8 else []  # four images of each class
    protocol, trunk = ("quickstart", "small_cnn") if classes <= FEW else ("standard", "medium_cnn")
    more = [f"data.image_size={side}", f"trunk={trunk}", f"protocol={protocol}", *batch]
    return Suggestion(_line("run", [*keys, *more]), f"{what}: a small network from pixels, in some minutes")


def _splits(config: DataConfig, listing: Listing, num_folds: int) -> bool:
    try:
        return all(len(split_of(listing, config, fold, num_folds).train) for fold in range(num_folds))
    except ValueError:
        return False


def _line(command: str, keys: list[str]) -> str:
    return " ".join([command, *(shlex.quote(key) for key in keys)])
