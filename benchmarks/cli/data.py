"""``pml-aug data``: check a data set before training on it, and build what a training would build."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..config.compose import RunConfig, compose, options_of
from ..config.data import FILE_KINDS, DataConfig
from ..data import ImageArrays, RaggedImages, load
from ..data.audit import audit, leaks
from ..data.builders import emoji, glyphs, glyphs_lite0
from ..data.feature_arrays import FeatureArrays, is_shipped
from ..data.features import read_features
from ..data.inspection import inspect
from ..data.listing import Listing
from ..data.loading import SHIPPED_GLYPHS, listing, store_of
from ..data.npz import read_npz
from ..data.split import split_of
from ..data.suggestion import suggest
from ..runs.writer import write_whole
from .arguments import Parser


class DataError(Exception):
    """What is wrong with data: all of it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def main(argv: Sequence[str]) -> int:
    """The exit status of ``pml-aug data``; 1 if something is wrong with the data."""
    parser = Parser(
        prog="pml-aug data",
        description="check: print what a data set holds and what is wrong with it. build: decode its images into the "
        "cache, or draw glyphs or emoji from their sources.",
        epilog=f"data sets (files under configs/data/): {', '.join(options_of('data'))}\n"
        "example: pml-aug data check cub data.path=CUB_200_2011",
    )
    parser.add_argument("action", choices=("check", "build"))
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as data.path=FOLDER")
    given = parser.parse_args(argv)
    config, _ = compose([f"data={given.name}", *given.overrides])
    try:
        for text in check(config) if given.action == "check" else build(config.data):
            print(text, flush=True)
    except DataError as error:
        for problem in error.problems:
            print(_line("problem", problem))
        return 1
    except (OSError, ValueError) as error:
        print(_line("problem", str(error)))
        return 1
    return 0


def check(config: RunConfig) -> Iterator[str]:
    """Lines about what a data set holds. Images of published sets that are not decoded yet are counted, not read.

    Raises:
        OSError, ValueError: if a training on it would be refused, or its images are not those that others compare on.
        DataError: with everything that is wrong with a folder, a list of images, or both sides of a split.
    """
    yield _line("data", f"{config.data.name}: {config.data.path or 'shipped with the benchmark'}")
    if config.data.kind not in FILE_KINDS:
        yield from _check_sound(config)
        return
    found = inspect(config.data, config.protocol.num_folds)
    if not found.problems:
        yield from _check_sound(config)
    if len(found.listing.class_names) > 1 and (suggested := suggest(config.data, found.listing, found.sizes)):
        yield _line("begin", f"pml-aug {suggested.command}")
        yield _line("since", suggested.reason)
    if found.problems:
        raise DataError(found.problems)


def _check_sound(config: RunConfig) -> Iterator[str]:
    """Lines about data that can be read."""
    data_config = config.data
    if data_config.uses_cache:
        files = listing(data_config)
        yield _line("files", f"{len(files.files):,}, {sum(file.stat().st_size for file in files.files) / 1e9:.3f} GB")
        yield from _describe_split(files, config)
        store = store_of(data_config, files)
        if not store.exists():
            command = f"pml-aug data build {data_config.kind}"
            yield _line("decoded", f"not yet; done by {command}, or by the first training")
            return
        yield _line("decoded", str(store))
    data = load(data_config)
    if not data_config.uses_cache:
        yield from _describe_split(data, config)
    yield from _describe_images(data)
    yield _line("hash", data.content_hash)
    as_built = data_config.num_classes is None and data_config.image_size in (None, emoji.SIDE)
    if data_config.kind == "emoji" and as_built and data.content_hash != emoji.CONTENT_HASH:
        raise ValueError(f"not the emoji that others compare on, whose hash is {emoji.CONTENT_HASH}; build them again")
    if is_shipped(data_config) and data_config.num_classes is None and data.content_hash != glyphs_lite0.CONTENT_HASH:
        raise ValueError(
            f"not the features that others compare on, whose hash is {glyphs_lite0.CONTENT_HASH}; install the "
            "benchmark again"
        )
    problems: list[str] = []
    for fold in range(_num_folds(config)):
        found = audit(data, split_of(data, data_config, fold, config.protocol.num_folds))
        problems += leaks(found, data_config.twins_allowed, data_config.identical_allowed)
    if problems:
        raise DataError(list(dict.fromkeys(problems)))
    yield _line("problems", "none")


def _num_folds(config: RunConfig) -> int:
    return 1 if config.data.train_on else config.protocol.num_folds


def build(config: DataConfig) -> Iterator[str]:
    """Build what a training would have to build first; the lines name what was built.

    Raises:
        OSError, ValueError: if it cannot be built.
    """
    if config.kind == "glyphs":
        arrays = glyphs.build()
        yield from _write("glyphs", Path("data/glyphs64.npz"), arrays, read_npz(SHIPPED_GLYPHS, "glyphs").content_hash)
    elif config.kind == "emoji":
        if not config.path:
            raise ValueError("data.path is missing: name the file to write, as in data.path=data/emoji64.npz")
        with tempfile.TemporaryDirectory() as folder:
            packages = emoji.fetch_packages(Path(folder))
            arrays = emoji.build(packages)
            credit = emoji.notice(packages)
        path = Path(config.path).expanduser()
        yield from _write("emoji", path, arrays, emoji.CONTENT_HASH)
        write_whole(path.with_suffix(".NOTICE.txt"), credit.encode())
    elif is_shipped(config):
        yield from _build_features(Path("data/glyphs_lite0.npz"))
    elif config.uses_cache:
        data = load(config)
        yield _line("decoded", str(store_of(config, listing(config))))
        yield from _describe_images(data)
        yield _line("hash", data.content_hash)
    else:
        yield _line("nothing", f"data={config.kind} is read as it is; there is nothing to build")


def _write(name: str, path: Path, arrays: Mapping[str, np.ndarray], expected: str) -> Iterator[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.unfinished.npz")
    np.savez_compressed(unfinished, allow_pickle=False, **arrays)
    found = read_npz(unfinished, name).content_hash
    unfinished.replace(path)
    yield _line("built", f"{path}, {path.stat().st_size / 1e6:.1f} MB")
    yield _line("hash", found)
    if found == expected:
        yield _line("equal", "to what others compare on, to the last pixel")
    else:
        yield _line("note", f"not what others compare on, whose hash is {expected}: other versions draw differently")


def _build_features(path: Path) -> Iterator[str]:
    # these load torch, which takes seconds
    from ..training.check import check as check_training
    from ..training.extraction import extract

    config, options = compose(glyphs_lite0.SETTINGS)
    check_training(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = extract(config, options, path.with_name(f"{path.stem}.whole.npz"))
    built = glyphs_lite0.reduced(read_features(whole), load(config.data), glyphs_lite0.NUM_FEATURES)
    unfinished = path.with_name(f"{path.stem}.unfinished.npz")
    np.savez_compressed(unfinished, allow_pickle=False, features=built.features, **built.rest())
    unfinished.replace(path)
    whole.unlink()
    yield _line("built", f"{path}, {path.stat().st_size / 1e6:.1f} MB")
    yield _line("hash", built.content_hash)
    shipped = read_features(SHIPPED_GLYPHS.with_name(path.name))
    difference = glyphs_lite0.deviation(built, shipped)
    if difference is None:
        yield _line("note", "not of the images that others compare on")
    else:
        yield _line(
            "compared", f"the features differ from the shipped ones by {100 * difference:.2g} % (root mean square)"
        )


def _line(name: str, text: str) -> str:
    return f"{name:<10}{text}".encode("utf-8", "backslashreplace").decode()  # a file name may not be Unicode


def _describe_split(data: Listing | ImageArrays, config: RunConfig) -> Iterator[str]:
    num_classes = len(data.class_names)
    counts = np.bincount(data.labels, minlength=num_classes)
    spread = f"{counts.min()}, {np.median(counts):g}, {counts.max()}"
    yield _line("classes", f"{num_classes:,}; images per class (min, median, max): {spread}")
    if lonely := int(np.sum(counts == 1)):
        yield _line("note", f"{lonely:,} classes have a single image, which cannot find another of its class")
    if isinstance(data, Listing):
        for part, (classes, images) in data.counts().items():
            yield _line(part, f"{images:,} images of {classes:,} classes")
    for fold in range(_num_folds(config)):
        parts = split_of(data, config.data, fold, config.protocol.num_folds)._asdict()
        sizes = (
            f"{name} {len(rows):,} of {len(np.unique(data.labels[rows])):,} classes"
            for name, rows in parts.items()
            if rows is not None and len(rows)
        )
        yield _line(f"fold {fold}", ", ".join(sizes))


def _describe_images(data: ImageArrays) -> Iterator[str]:
    if isinstance(data, FeatureArrays):
        features = data.array
        views = "" if features.ndim == 2 else f", {features.shape[1] - 1} views of each"
        shape = f"{len(features):,} x {data.channels:,}{views}"
        yield _line("features", f"{shape}, {features.dtype}, {features.nbytes / 1e9:.3f} GB")
        return
    images = data.images
    if isinstance(images, RaggedImages):
        sizes, in_bytes = images.sizes, int(images.sizes.prod(axis=1).sum()) * images.channels
    else:
        sizes, in_bytes = np.array([images.shape[1:3]]), images.nbytes
    smallest, largest = (" x ".join(map(str, size)) for size in (sizes.min(axis=0), sizes.max(axis=0)))
    extent = smallest if smallest == largest else f"{smallest} to {largest}"
    colors = "RGB" if data.channels == 3 else "grey"
    yield _line("images", f"{len(images):,}, {colors}, {extent} (height x width), {in_bytes / 1e9:.3f} GB decoded")
