"""The published data sets: their layouts, numbers of images, and archives."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..listing import Counts, Listing, require_counts
from . import cars196, cub, inshop, sop
from .archives import Limits, extract
from .download import fetch


class Archive(NamedTuple):
    """A downloadable file that holds a data set."""

    url: str
    name: str
    checksum: str | None  # the publisher's, or one that other projects agree on; None: unknown
    limits: Limits


class Published(NamedTuple):
    """A data set that papers report results on."""

    list_images: Callable[[Path], Listing]
    counts: Counts
    layouts: str
    page: str  # where to download it by hand
    archive: Archive | None  # None: available from its owners on request only


GIB = 1 << 30

# The URLs are those of pytorch_metric_learning.datasets (2.9.0).
PUBLISHED = {
    "cub": Published(
        cub.list_images,
        cub.COUNTS,
        cub.LAYOUTS,
        "https://data.caltech.edu/records/65de6-vp158",
        Archive(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            "CUB_200_2011.tgz",
            "md5:97eceeb196236b17998738112f37df78",
            Limits(4 * GIB, 50_000),
        ),
    ),
    "cars196": Published(
        cars196.list_images,
        cars196.COUNTS,
        cars196.LAYOUTS,
        "https://www.kaggle.com/datasets/jutrera/stanford-car-dataset-by-classes-folder",
        Archive(
            "https://www.kaggle.com/api/v1/datasets/download/jutrera/stanford-car-dataset-by-classes-folder",
            "stanford-car-dataset-by-classes-folder.zip",
            None,
            Limits(8 * GIB, 50_000),
        ),
    ),
    "sop": Published(
        sop.list_images,
        sop.COUNTS,
        sop.LAYOUTS,
        "https://cvgl.stanford.edu/projects/lifted_struct/",
        Archive(
            "https://drive.usercontent.google.com/download?id=1TclrpQOF_ullUP99wk_gjGN8pKvtErG8&export=download&"
            "authuser=0&confirm=t",
            "Stanford_Online_Products.zip",
            "md5:7f73d41a2f44250d4779881525aea32e",
            Limits(8 * GIB, 200_000),
        ),
    ),
    "inshop": Published(
        inshop.list_images,
        inshop.COUNTS,
        inshop.LAYOUTS,
        "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        None,
    ),
}


def list_published(kind: str, path: Path, verify: bool, download: bool) -> Listing:
    """The files of a published data set, downloaded first if ``download`` is set and ``path`` does not exist.

    Args:
        kind: a key of PUBLISHED.
        path: the folder of the data set.
        verify: whether to require the published numbers of classes and images.
        download: whether to download it if ``path`` does not exist.

    Raises:
        FileNotFoundError: if it, or a part of it, is missing.
        ValueError: if its counts are not the published ones.
    """
    published = PUBLISHED[kind]
    if not path.exists():
        if download:
            download_to(published, path, kind)
        else:
            way = "" if published.archive is None else ", or set data.download=true"
            raise FileNotFoundError(
                f"{path}: no such folder; data.path must name the folder that holds {kind} ({published.layouts}). "
                f"Get it from {published.page}{way}"
            )
    listing = published.list_images(path)
    if verify:
        require_counts(listing, published.counts, path)
    return listing


def download_to(published: Published, path: Path, kind: str) -> None:
    """Download and unpack a data set into a new folder; the archive is deleted, its checksum kept beside the folder.

    Raises:
        ValueError: if it is available on request only.
    """
    if published.archive is None:
        raise ValueError(
            f"data={kind} cannot be downloaded: its owners give it on request, at {published.page}. Unpack it into "
            f"{path} ({published.layouts})"
        )
    file = path.parent / published.archive.name
    fetch(published.archive.url, file, published.archive.checksum)
    extract(file, path, published.archive.limits)
    file.unlink()
