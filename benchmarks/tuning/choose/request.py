"""What ``choose`` is asked: the data, what computes their features, the time, and the shortlist."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...config.compose import compose, parse, split_own
from ...config.data import FILE_KINDS, PUBLISHED_KINDS
from ...config.schema import CENTER_CROP, check_folder
from ...config.typed import typed
from ...errors import UserError
from ..study import StudyConfig, read_study

SHORTLIST = "choose"  # the study of configs/study whose searches are carried out
TRUNK, SIDE = "efficientnet_lite0", 224  # where images are given and nothing else is asked for
MAX_MINUTES = 7 * 24 * 60
OF_PLACE = ("device", "threads", "per_gpu", "allow", "quiet")  # of the computation of features, and of each training
OF_SPLIT = ("data.split_seed", "data.single_images", "data.identical_allowed")  # which features must know, too
OF_PICTURES = ("data.image_size", "data.resize", "protocol.eval_images")


@dataclass
class ChooseConfig:
    """The command's own keys."""

    minutes: float = 30.0  # for everything, from the command line to the exported model
    runs: str = "runs/choose"  # folder of everything that is written
    workers: int | None = None  # trainings at a time; null: one per core, or as many as the GPUs take

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= MAX_MINUTES:
            raise UserError(f"minutes must be above 0 and at most {MAX_MINUTES:,}, but got {self.minutes:g}")
        if self.workers is not None and not 1 <= self.workers <= 10_000:
            raise UserError(f"workers must be null or at least 1, but got {self.workers}")
        check_folder("runs", self.runs)


@dataclass(frozen=True)
class Request:
    """What is asked, as overrides of the commands that carry it out."""

    own: ChooseConfig
    images: tuple[str, ...] | None  # of `features`: data and trunk; None: the data are features already
    training: tuple[str, ...]  # of each training
    shortlist: tuple[str, ...]  # keys of the study: comparisons, if they are given

    @property
    def features(self) -> Path:
        """The folder of the computed features."""
        return Path(self.own.runs) / "features"

    @property
    def whole_shortlist(self) -> bool:
        """Whether no loss may be left out for want of time."""
        return bool(self.shortlist)

    def study(self, fitting: Sequence[str] = ()) -> StudyConfig:
        """The study of the shortlist on these data; trials and steps are still those of its file.

        Args:
            fitting: further overrides of each training.
        """
        study = read_study(SHORTLIST, [*self.shortlist, *self.training, *fitting])
        return replace(study, runs=self.own.runs, workers=self.own.workers)


def read_request(overrides: Sequence[str]) -> Request:
    """The request of a command line.

    Keys of data, trunk and ``protocol.eval_images`` are for the features; keys of the device for everything; all others
    for each training. Images are taken at 224 pixels by EfficientNet-Lite0, unless something else is asked for.

    Raises:
        UserError: an unknown key, a wrong value, or one that makes no sense here.
    """
    values, rest = split_own(overrides, ("minutes", "runs", "workers", "comparisons"))
    shortlist = tuple(text for text in overrides if text.startswith("comparisons="))
    values.pop("comparisons", None)
    own = typed(ChooseConfig, values, "choose: ")
    keyed = [(override.key_or_group, text) for text, override in zip(rest, parse(rest), strict=True)]
    for key, text in keyed:
        if key in ("loss", "method", "fold", "seed", "recipe", "data.train_on") or key.startswith(("loss.", "method.")):
            raise UserError(f"{text} has no place here: choose finds it out; comparisons=[...] gives another shortlist")
    of_images = [text for key, text in keyed if _inside(key, ("data", "trunk", "protocol.eval_images"))]
    layout = [text for key, text in keyed if key == "protocol.channels_last"]
    place = [text for key, text in keyed if key in OF_PLACE]
    data = [text for key, text in keyed if _inside(key, ("data",))]
    config = compose([*data, *place])[0].data
    if config.kind == "features":
        return Request(own, None, tuple(rest), shortlist)
    keys = {key for key, _ in keyed}
    if "trunk" not in keys:
        of_images = [f"trunk={TRUNK}", *of_images]
    if not any(_inside(key, OF_PICTURES[1:]) for key in keys):
        of_images += _pictures(config.kind, None if "data.image_size" not in keys else config.image_size)
    others = [text for key, text in keyed if text not in (*of_images, *layout, *place)]
    split = [text for key, text in keyed if key in OF_SPLIT]
    features = [
        "data=features",
        f"data.path={Path(own.runs) / 'features'}",
        f"data.name={config.name}",
        "data.drop_constant=true",  # networks that end in a ReLU have features that are always 0
    ]
    images = (*of_images, *layout, *place, "keep=nothing")
    return Request(own, images, (*features, *split, *place, *others), shortlist)


def _pictures(kind: str, side: int | None) -> list[str]:
    """Overrides that give a trunk squares of one size, from files of any size."""
    if kind not in (*FILE_KINDS, *PUBLISHED_KINDS):
        return []
    published = kind in PUBLISHED_KINDS  # which are decoded at 256 pixels
    size = [] if published else [f"data.image_size={side or SIDE}"]
    cropped = min(side or SIDE, SIDE) if published else side or SIDE
    crop = [f"protocol.eval_images._target_={CENTER_CROP}", f"protocol.eval_images.size={cropped}"]
    return [*size, "data.resize=short_side", *crop]


def _inside(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)
