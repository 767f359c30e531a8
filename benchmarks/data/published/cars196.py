"""Cars196: 196 models of cars, the first 98 to train on."""

from collections.abc import Iterator
from pathlib import Path

from scipy.io import loadmat

from ...files import read_lines, require_regular
from ..arrays import TEST, TRAIN
from ..listing import Listing, find_base, require_files
from .class_folders import LAYOUT, has_halves, list_halves

COUNTS = {"training": (98, 8054), "test": (98, 8131)}
BY_NAME = "car_data/car_data"  # in the archive that PML downloads, whose train and test halves share classes
LAYOUTS = (
    f"car_ims/*.jpg beside cars_annos.mat, or {LAYOUT}, or names.csv, anno_train.csv and anno_test.csv beside "
    f"{BY_NAME}/"
)

Row = tuple[int, int | str, str, Path]


def list_images(path: Path) -> Listing:
    """The images of Cars196: classes sorted by id, images by file name.

    Raises:
        FileNotFoundError: if the annotations, or some images, are missing.
        ValueError: if the annotations cannot be read.

    Source: Krause, Stark, Deng, Fei-Fei, "3D Object Representations for Fine-Grained Categorization", 3dRR 2013; the
    split is that of Oh Song, Xiang, Jegelka, Savarese, "Deep Metric Learning via Lifted Structured Feature
    Embedding", CVPR 2016.
    """
    base = find_base(path, ("cars_annos.mat", "names.csv", "train", "car_ims"), "Cars196", LAYOUTS)
    if (base / "cars_annos.mat").is_file():
        listing = Listing.of(_annotated(base))
    elif (base / "names.csv").is_file():
        listing = Listing.of(_by_name(base))
    elif has_halves(base):
        return list_halves(base)
    else:
        raise FileNotFoundError(f"{base}: found no cars_annos.mat, which has the class of each image in car_ims/")
    require_files(listing, base)
    return listing


def _annotated(base: Path) -> Iterator[Row]:
    file = require_regular(base / "cars_annos.mat")
    try:
        content = loadmat(file, simplify_cells=True)
        names = [str(name) for name in content["class_names"]]
        found = [(str(one["relative_im_path"]), int(one["class"])) for one in content["annotations"]]
    except Exception as error:  # SciPy's reader raises nearly every built-in exception for damaged files
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{file}: not the annotations of Cars196 ({reason}); download the file again") from error
    for image, number in found:
        if not 1 <= number <= len(names):
            raise ValueError(f"{file}: {image} has class {number}, but expected 1 to {len(names)}; download it again")
    return (_row(number, names[number - 1], base / image) for image, number in found)


def _by_name(base: Path) -> Iterator[Row]:
    names = [line.strip() for line in read_lines(base / "names.csv")]
    numbers = {str(number): number for number in range(1, len(names) + 1)}
    for half in ("train", "test"):
        file = base / f"anno_{half}.csv"
        for line, text in enumerate(read_lines(file), start=1):
            words = text.split(",")
            if len(words) < 2 or words[-1] not in numbers:
                raise ValueError(
                    f"{file}: line {line} is {text!r}, but expected an image, its box, and a class from 1 to the "
                    f"{len(names)} of names.csv, with commas between them"
                )
            number = numbers[words[-1]]
            name = names[number - 1]
            yield _row(number, name, base / BY_NAME / half / name.replace("/", "-") / words[0])


def _row(number: int, name: str, file: Path) -> Row:
    return TRAIN if number <= 98 else TEST, number, name, file
