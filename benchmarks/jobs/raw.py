"""The raw features, beside the trainings on them."""

from collections.abc import Sequence
from dataclasses import replace

from ..config.compose import compose
from ..config.parts import RAW
from .runner import TrainingJob


def raw_jobs(job: TrainingJob, folds: Sequence[int]) -> list[TrainingJob]:
    """The scoring of the features that a training starts from, raw and standardised, for each fold.

    None where the trunk is trained, whose features are then no fixed thing.

    Args:
        job: any training on the data set.
        folds: of the trainings; the training images of a fold standardise.
    """
    config = job.config
    given = config.data.kind == "features"
    if not given and (config.trunk.freeze != "all" or config.trunk.unfreeze):
        return []
    none, trunk = (
        getattr(compose([f"{group}={name}"])[0], group) for group, name in (("method", "none"), ("trunk", "given"))
    )
    of_features = replace(config, method=none, trunk=trunk if given else config.trunk)
    losses = [compose([f"loss={name}"])[0].loss for name in RAW]
    return [replace(job, config=replace(of_features, loss=loss, fold=fold)) for loss in losses for fold in folds]
