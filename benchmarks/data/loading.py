"""From the ``data`` group of a configuration to images."""

from dataclasses import replace
from pathlib import Path

from ..config.data import FILE_KINDS, DataConfig
from ..config.schema import check_folder
from .arrays import ImageArrays
from .csv_list import list_csv
from .decode_cache import decoded, store_path
from .decoding import Form
from .feature_arrays import load_features
from .folder import list_folder, read_listed
from .listing import Listing
from .npz import read_npz
from .published.sets import list_published

SHIPPED_GLYPHS = Path(__file__).with_name("glyphs64.npz")
LISTERS = {"folder": list_folder, "csv": list_csv}  # of FILE_KINDS


def load(config: DataConfig) -> ImageArrays:
    """The data set that a configuration describes: read, cut to ``num_classes``, resized to ``image_size``.

    Raises:
        FileNotFoundError: if the path is missing.
        ValueError: if the data cannot give what the configuration names, or have wrong shapes, types or labels.

    Example:
        >>> glyphs = load(DataConfig("glyphs", "glyphs", image_size=16, num_classes=20))
        >>> glyphs.images.shape[1:], len(glyphs.class_names)
        ((16, 16, 1), 20)
    """
    if config.uses_cache:
        return _from_store(config, listing(config))
    if config.kind == "features":
        return load_features(config)
    path, single = _path(config), config.single_images is not None
    if config.kind in FILE_KINDS:
        arrays = read_listed(LISTERS[config.kind](path, single), config.name, config.image_size)
    else:
        arrays = read_npz(path, config.name, single)
    if config.num_classes is not None:
        arrays = arrays.with_classes(config.num_classes)
    return arrays if config.image_size is None else arrays.resized(config.image_size)


def listing(config: DataConfig) -> Listing:
    """The image files of a folder, a list or a published data set, cut to ``num_classes``."""
    path = _path(config)
    if config.kind in FILE_KINDS:
        files = LISTERS[config.kind](path, config.single_images is not None)
    else:
        files = list_published(config.kind, path, bool(config.verify), bool(config.download))
    return files if config.num_classes is None else files.with_classes(config.num_classes)


def store_of(config: DataConfig, files: Listing) -> Path:
    """The directory of the decoded images, which need not exist."""
    return store_path(files.files, _form(config), _cache(config), config.name)


def _form(config: DataConfig) -> Form:
    assert config.resize is not None, "kinds with a cache have it"
    return Form(config.image_size, config.resize, upright=config.kind in FILE_KINDS)


def _cache(config: DataConfig) -> Path:
    assert config.cache is not None, "kinds with a cache have it"
    cache = Path(config.cache).expanduser()
    check_folder("data.cache", str(cache))
    return cache


def _path(config: DataConfig) -> Path:
    if config.kind == "glyphs":
        if config.path is not None:
            raise ValueError(
                f"data.path must be null for data.kind=glyphs, but got {config.path!r}; for a file use data=npz"
            )
        return SHIPPED_GLYPHS
    if not config.path:
        raise ValueError(f"data.path is missing: say where the data lies, as in data={config.kind} data.path=...")
    path = Path(config.path).expanduser()
    if config.kind == "emoji" and not path.exists():
        raise FileNotFoundError(f"{path}: no such file; build it with: pml-aug data build emoji")
    return path


def _from_store(config: DataConfig, files: Listing) -> ImageArrays:
    ragged = decoded(files.files, _form(config), _cache(config), config.name, config.workers)
    arrays = ImageArrays(
        config.name, ragged, files.labels, files.class_names, files.source, list(files.source_names), files.partition
    )
    if config.resize == "short_side":
        return arrays
    height, width = ragged.sizes[0]  # squares: those of all images
    return replace(arrays, images=ragged.pixels.reshape(len(ragged), height, width, ragged.channels))
