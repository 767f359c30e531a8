"""The images of a classification, and which of them train and test: every class is on both sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config.classification_data import CIFAR_KINDS, ClassificationData
from ..config.data import DataConfig
from ..config.schema import check_folder
from ..data import ImageArrays, load
from ..data.arrays import TEST, TRAIN
from ..data.decode_cache import decoded
from ..data.decoding import Form
from ..data.listing import Listing, class_folders, image_files
from ..data.published.cifar import read_cifar
from ..data.ragged import RaggedImages, digest
from ..data.split import Split

TEST_FOLDERS = ("val", "test")
IMAGENET = (1000, 1_281_167, 50_000)  # classes, training images, test images


def load_classification(config: ClassificationData) -> tuple[ImageArrays, Split]:
    """The data set that a configuration describes, and its rows for training and test.

    Raises:
        FileNotFoundError: if the data are missing; the message says where they go.
        ValueError: if the data cannot give what the configuration names, or have wrong shapes, types or labels.
    """
    if config.kind == "glyphs":
        data = _glyphs(config)
    elif config.kind in CIFAR_KINDS:
        assert config.path is not None
        data = read_cifar(config.kind, Path(config.path).expanduser(), config.name, bool(config.verify))
    else:
        data = _folder(config)
    assert data.partition is not None
    train, test = (np.flatnonzero(data.partition == part) for part in (TRAIN, TEST))
    return data, Split(train, np.array([], dtype=np.int64), test)


def identical_images(data: ImageArrays, split: Split) -> int:
    """How many test images equal a training image, pixel by pixel."""
    if isinstance(data.images, RaggedImages):
        digests = [row.tobytes() for row in data.images.digests]
    else:
        digests = [digest(image) for image in data.images]
    seen = {digests[row] for row in split.train}
    return sum(digests[row] in seen for row in split.test)


def _glyphs(config: ClassificationData) -> ImageArrays:
    """The embedded drawings of characters; those by the held-out font faces are the test set."""
    if not config.held_out:
        raise ValueError("data.held_out is missing: name the font faces that test, as in data.held_out=[DejaVuSerif]")
    data = load(DataConfig(config.name, "glyphs", image_size=config.image_size))
    assert data.source is not None  # glyphs know the face of each drawing
    tests = np.array([name.startswith(tuple(config.held_out)) for name in data.source_names])
    if not tests.any() or tests.all():
        raise ValueError(
            f"data.held_out={config.held_out} must name some of the font faces, but not all: "
            f"{', '.join(data.source_names)}"
        )
    partition = np.where(tests[data.source], TEST, TRAIN).astype(np.uint8)
    both = np.intersect1d(data.labels[partition == TRAIN], data.labels[partition == TEST])
    rows = np.flatnonzero(np.isin(data.labels, both))
    kept = replace(
        data,
        images=data.images[rows],
        labels=np.searchsorted(both, data.labels[rows]),
        class_names=[data.class_names[number] for number in both],
        source=data.source[rows],
        partition=partition[rows],
    )
    return kept if config.num_classes is None else kept.with_classes(config.num_classes)


def _folder(config: ClassificationData) -> ImageArrays:
    """The images in train/CLASS/ and val/CLASS/ or test/CLASS/."""
    assert config.path is not None and config.resize is not None and config.cache is not None
    listing = list_classification(Path(config.path).expanduser(), config.kind == "imagenet")
    if config.kind == "imagenet" and config.verify:
        _require_imagenet(listing, config.path)
    if config.num_classes is not None:
        listing = listing.with_classes(config.num_classes)
    cache = Path(config.cache).expanduser()
    check_folder("data.cache", str(cache))
    form = Form(config.image_size, config.resize, upright=config.kind == "folder")
    ragged = decoded(listing.files, form, cache, config.name, config.workers)
    data = ImageArrays(config.name, ragged, listing.labels, listing.class_names, None, [], listing.partition)
    if config.resize == "short_side":
        return data
    height, width = ragged.sizes[0]  # squares: those of all images
    return replace(data, images=ragged.pixels.reshape(len(ragged), height, width, ragged.channels))


def list_classification(path: Path, is_imagenet: bool) -> Listing:
    """The image files of a folder; classes are numbered in the order of their names, as torchvision's ImageFolder does.

    Raises:
        FileNotFoundError: if the folder or a part of it is missing.
        ValueError: if the two parts differ in their classes, or a class is empty.
    """
    halves = [name for name in TEST_FOLDERS if (path / name).is_dir()]
    if not (path / "train").is_dir() or not halves:
        get = (
            "; get ILSVRC2012_img_train.tar (unpacked into a folder per class) and ILSVRC2012_img_val.tar (its images "
            "moved into folders per class) from https://image-net.org"
            if is_imagenet
            else ""
        )
        raise FileNotFoundError(f"{path}: expected train/CLASS/ and val/CLASS/ with the images of each class{get}")
    folders = [class_folders(path / half) for half in ("train", halves[0])]
    names = [folder.name for folder in folders[0]]
    if len(names) < 2 or names != [folder.name for folder in folders[1]]:
        differing = sorted(set(names) ^ {folder.name for folder in folders[1]})
        raise ValueError(
            f"{path}: train and {halves[0]} must have the same two or more classes, but differ in "
            f"{', '.join(differing[:5]) or 'nothing: there is one class'}"
        )
    members = [[image_files(folder) for folder in half] for half in folders]
    for folder, files in zip([*folders[0], *folders[1]], [*members[0], *members[1]], strict=True):
        if not files:
            raise ValueError(f"{folder}: holds no images; add some or remove the class")
    counts = [[len(files) for files in half] for half in members]
    labels = np.concatenate([np.repeat(np.arange(len(names)), half) for half in counts])
    partition = np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [sum(half) for half in counts])
    return Listing([file for half in members for files in half for file in files], labels, names, partition)


def _require_imagenet(listing: Listing, path: str) -> None:
    assert listing.partition is not None
    test = int((listing.partition == TEST).sum())
    found = (len(listing.class_names), len(listing.labels) - test, test)
    if found != IMAGENET:
        raise ValueError(
            f"{path}: expected {IMAGENET} classes, training and test images, but found {found}. Unpack the published "
            "archives again, or set data.verify=false to train on what is there"
        )
