"""The ``data`` group of a configuration: which images, in which form, and what the audit of their split allows."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UserError, unknown

PUBLISHED_KINDS = ("cub", "cars196", "sop", "inshop")
FILE_KINDS = ("folder", "csv")  # image files of the user
KINDS = ("glyphs", "emoji", "npz", *FILE_KINDS, "features", *PUBLISHED_KINDS)
RESIZE = ("square", "short_side")
MAX_IMAGE_SIZE = 8192  # pixels
MAX_WORKERS = 1024
MAX_NAME = 200  # bytes: with what is added to it, a name still fits into the 255 of a file name
SINGLE_IMAGES = ("distractors", "train")
LATER = ("split_seed", "train_on", "single_images")  # where null, not in the identity of runs: they had no such key
NOT_IDENTITY = ("cache", "workers", "download", "verify", "twins_allowed", "identical_allowed")
USED_BY = {  # keys that are null for all other kinds
    **dict.fromkeys(("resize", "cache", "workers"), (*FILE_KINDS, *PUBLISHED_KINDS)),
    **dict.fromkeys(("download", "verify"), PUBLISHED_KINDS),
    **dict.fromkeys(("standardize", "drop_constant"), ("features",)),
}


@dataclass(frozen=True)
class DataConfig:
    """A data set as a training gets it.

    Raises:
        UserError: for a value that no data set can have; the message names the key.

    Example:
        >>> DataConfig("mine", "npz", "mine.npz", image_size=0)
        Traceback (most recent call last):
        benchmarks.errors.UserError: data.image_size must be null or between 1 and 8192, but got 0
    """

    name: str  # for reports and the directory of decoded images
    kind: str  # one of KINDS
    path: str | None = None  # of the file or directory; null for glyphs
    image_size: int | None = None  # pixels; null: as stored
    num_classes: int | None = None  # taken at even distances from the sorted ids; null: all
    resize: str | None = None  # square: the largest centred one; short_side: that side, the other in proportion
    cache: str | None = None  # directory of decoded images
    workers: int | None = None  # threads that decode; null: one per core
    download: bool | None = None  # fetch a published set that is not there
    verify: bool | None = None  # refuse a published set that has other counts than the published ones
    standardize: bool | None = None  # features, by statistics of the training images
    drop_constant: bool | None = None  # leave features out that have one value in all rows
    split_seed: int | None = None  # of the shuffling of the classes before they are halved; null: by name or number
    train_on: str | None = None  # all: every class trains, and there is no test set; null: half of the classes
    single_images: str | None = None  # classes of one image; null: refused (see SINGLE_IMAGES)
    twins_allowed: float = 0.01  # share of the test images that may have a near-identical training image
    identical_allowed: float = 0.0  # share of the test (or validation) images that may have an identical one

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(unknown("data.kind", self.kind, KINDS))
        check_name(self.name)
        for key, kinds in USED_BY.items():
            if getattr(self, key) is not None and self.kind not in kinds:
                raise UserError(f"data.{key} has no effect with data.kind={self.kind}: it is for {', '.join(kinds)}")
        if self.kind == "features" and self.image_size is not None:
            raise UserError(f"data.image_size must be null for data.kind=features, but got {self.image_size}")
        if self.kind in FILE_KINDS or self.is_published:
            self._check_decoding()
        for key, low, high in (
            ("image_size", 1, MAX_IMAGE_SIZE),
            ("workers", 1, MAX_WORKERS),
        ):
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                raise UserError(f"data.{key} must be null or between {low} and {high}, but got {value}")
        if self.num_classes is not None and self.num_classes < 2:
            raise UserError(f"data.num_classes must be null or at least 2, but got {self.num_classes}")
        self._check_split()
        for key in ("twins_allowed", "identical_allowed"):
            if not 0 <= getattr(self, key) <= 1:  # also refuses nan
                raise UserError(f"data.{key} must be a share between 0 and 1, but got {getattr(self, key)}")

    def _check_decoding(self) -> None:
        if self.resize not in RESIZE:
            raise UserError(f"data.resize must be one of {', '.join(RESIZE)}, but got {self.resize!r}")
        if self.uses_cache and not self.cache:
            raise UserError("data.cache is missing: name the directory that decoded images are kept in")
        if self.is_published and self.resize == "square" and self.image_size is None:
            raise UserError("data.resize=square needs the side: set data.image_size, or data.resize=short_side")

    def _check_split(self) -> None:
        if self.split_seed is not None:
            if self.split_seed < 0:
                raise UserError(f"data.split_seed must be null or at least 0, but got {self.split_seed}")
            if self.is_published:
                raise UserError(f"data.split_seed has no effect with data.kind={self.kind}, whose split is published")
        if self.train_on not in (None, "all"):
            raise UserError(f"data.train_on must be null or all, but got {self.train_on!r}")
        if self.single_images is not None and self.single_images not in SINGLE_IMAGES:
            raise UserError(unknown("data.single_images", self.single_images, SINGLE_IMAGES))

    @property
    def is_published(self) -> bool:
        """Whether it is a data set that others report results on."""
        return self.kind in PUBLISHED_KINDS

    @property
    def uses_cache(self) -> bool:
        """Whether the images are decoded into ``cache`` instead of into memory."""
        return self.is_published or (self.kind in FILE_KINDS and self.resize == "short_side")

    def identity(self) -> dict[str, Any]:
        """The keys that decide which images a training gets; part of what names its run.

        How images are fetched, decoded, kept and audited is left out. ``path`` is left out where the counts of a
        published data set are verified, since the kind then says what lies there.

        Example:
            >>> DataConfig("mine", "npz", "mine.npz").identity()
            {'name': 'mine', 'kind': 'npz', 'path': 'mine.npz', 'image_size': None, 'num_classes': None}
        """
        left_out = {*NOT_IDENTITY, *(key for key, kinds in USED_BY.items() if self.kind not in kinds)}
        if self.is_published and self.verify:
            left_out.add("path")
        left_out.update(key for key in LATER if getattr(self, key) is None)
        return {key: value for key, value in asdict(self).items() if key not in left_out}


def check_name(name: str) -> None:
    """Raises UserError for a name of a data set that cannot name a directory."""
    if not name.isprintable() or name[:1] in ("", ".") or set(name) & set("/\\") or len(name.encode()) > MAX_NAME:
        raise UserError(
            f"data.name must be a name of 1 to {MAX_NAME} bytes without slashes, backslashes or a leading dot, "
            f"since directories are named by it, but got {name!r}"
        )
