"""Pretrained features of a part of the glyphs, in a size that can be shipped: the builder of ``data=glyphs_lite0``.

``pml-aug data build glyphs_lite0`` builds it again. The shipped file is the one to compare on: the last
digits of a network's features depend on the processor and the version of PyTorch.
"""

import numpy as np

from ..arrays import ImageArrays, squares
from ..features import Features
from ..split import class_disjoint_split

NUM_CLASSES = 400  # of 1,880: 200 to train and validate on, 200 to test on
SETTINGS = (f"data.num_classes={NUM_CLASSES}", "data.image_size=64", "trunk=efficientnet_lite0")  # what is computed
NUM_FEATURES = 128  # of 1,280; they hold .96 of the variance of the training classes
PICTURE_SIDE = 32  # pixels
CONTENT_HASH = "3de26eda2919b31e30ccee4b7e8bf823c21cb3484b5b44eac299c4f1a075b1b5"  # of the shipped features


def reduced(features: Features, images: ImageArrays, num_features: int) -> Features:
    """The features projected on the principal components of the training classes, float16, with small pictures.

    Mean and components come from the training classes (with those of the validation folds) alone; a component's sign
    makes the largest of its coefficients positive.

    Args:
        features: (N, F), of the images, in the same order.
        images: what the features were computed of.
        num_features: number of components.

    Raises:
        ValueError: if there are fewer training images or features than components.
    """
    learned = class_disjoint_split(features.labels, 0, 1, features.partition).train
    vectors = features.features.astype(np.float64)
    if num_features > min(len(learned), vectors.shape[1]):
        raise ValueError(
            f"num_features must be at most {min(len(learned), vectors.shape[1])}, the smaller of training images and "
            f"features, but got {num_features}"
        )
    mean = vectors[learned].mean(axis=0)
    components = np.linalg.svd(vectors[learned] - mean, full_matrices=False)[2][:num_features]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    projected = (vectors - mean) @ (components * np.sign(largest)).T
    reduction = {
        "principal_components": num_features,
        "of": "features of the training classes less their mean",
        "dtype": "float16",
    }
    return Features(
        projected.astype(np.float16),
        features.labels,
        features.class_names,
        features.source,
        features.source_names,
        features.partition,
        features.provenance | {"reduction": reduction},
        squares(images.images, PICTURE_SIDE),
    )


def deviation(built: Features, shipped: Features) -> float | None:
    """Root mean square difference of the features, relative to the shipped ones; None if they are of other images."""
    same = np.array_equal(built.labels, shipped.labels) and built.class_names == shipped.class_names
    if not same or built.features.shape != shipped.features.shape:
        return None
    ours, theirs = built.features.astype(np.float64), shipped.features.astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
