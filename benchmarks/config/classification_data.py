"""The ``data`` group of a classification: which images, and which of them are the test set."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import UserError, unknown
from .data import MAX_IMAGE_SIZE, MAX_WORKERS, RESIZE, check_name

CIFAR_KINDS = ("cifar10", "cifar100")
FOLDER_KINDS = ("folder", "imagenet")
KINDS = ("glyphs", *CIFAR_KINDS, *FOLDER_KINDS)
USED_BY = {  # keys that are for these kinds only
    "held_out": ("glyphs",),
    **dict.fromkeys(("image_size", "num_classes"), ("glyphs", *FOLDER_KINDS)),
    "path": (*CIFAR_KINDS, *FOLDER_KINDS),
    "verify": (*CIFAR_KINDS, "imagenet"),
    **dict.fromkeys(("resize", "cache", "workers"), FOLDER_KINDS),
}
NOT_IDENTITY = ("cache", "workers", "verify", "identical_allowed")


@dataclass(frozen=True)
class ClassificationData:
    """A data set in which every class has training images and test images.

    Raises:
        UserError: for a value that no data set can have; the message names the key.
    """

    name: str  # for reports and the directory of decoded images
    kind: str  # one of KINDS
    path: str | None = None  # of the directory; null for glyphs
    image_size: int | None = None  # pixels; null: as stored
    num_classes: int | None = None  # taken at even distances from the sorted ids; null: all
    held_out: list[str] = field(default_factory=list)  # beginnings of the names of the font faces that test
    resize: str | None = None  # square: the largest centred one; short_side: that side, the other in proportion
    cache: str | None = None  # directory of decoded images
    workers: int | None = None  # threads that decode; null: one per core
    verify: bool | None = None  # refuse a published set that is not the published one
    identical_allowed: float = 0.0  # share of the test images that may equal a training image

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(unknown("data.kind", self.kind, KINDS))
        check_name(self.name)
        for key, kinds in USED_BY.items():
            if getattr(self, key) not in (None, []) and self.kind not in kinds:
                raise UserError(f"data.{key} has no effect with data.kind={self.kind}: it is for {', '.join(kinds)}")
        if self.kind in USED_BY["path"] and not self.path:
            raise UserError(f"data.path is missing: name the directory that holds {self.name}")
        if self.kind in FOLDER_KINDS:
            self._check_decoding()
        for key, low, high in (
            ("image_size", 1, MAX_IMAGE_SIZE),
            ("workers", 1, MAX_WORKERS),
            ("num_classes", 2, 10**6),
        ):
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                raise UserError(f"data.{key} must be null or between {low} and {high}, but got {value}")
        if not 0 <= self.identical_allowed <= 1:
            raise UserError(f"data.identical_allowed must be a share between 0 and 1, but got {self.identical_allowed}")

    def _check_decoding(self) -> None:
        if self.resize not in RESIZE:
            raise UserError(f"data.resize must be one of {', '.join(RESIZE)}, but got {self.resize!r}")
        if self.image_size is None:
            raise UserError("data.image_size is missing: give the pixels of the side that images are resized to")
        if not self.cache:
            raise UserError("data.cache is missing: name the directory that decoded images are kept in")

    def identity(self) -> dict[str, Any]:
        """The keys that decide which images a training gets.

        ``path`` is left out where the published files are verified, since the kind then says what lies there.
        """
        left_out = {*NOT_IDENTITY, *(key for key, kinds in USED_BY.items() if self.kind not in kinds)}
        if self.verify:
            left_out.add("path")
        return {key: value for key, value in asdict(self).items() if key not in left_out}
