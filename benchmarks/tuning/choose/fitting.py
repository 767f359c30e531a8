"""What the data themselves ask of the trainings: batches that they have classes enough for, and their preparation."""

from dataclasses import replace

import numpy as np

from ...config.compose import compose
from ...data import load
from ...data.split import split_of
from ...errors import UserError
from ...jobs.raw import raw_jobs
from ...jobs.runner import TrainingJob
from ...runs.checked_json import parsed
from ...runs.schema import PRIMARY
from ...training.train import train
from .request import Request

IMAGES_PER_CLASS = 4


def fitting_batches(request: Request) -> list[str]:
    """Overrides that make batches smaller where there are fewer training classes than rows in a batch; else none.

    Losses with proxies take one image per class, and could then fill no batch; all losses get four of each class.

    Raises:
        UserError: the data cannot be read or split.
    """
    config, _ = compose(request.training)
    if any(text.startswith("protocol.batch_size=") for text in request.training):
        return []
    num_folds = 1 if config.data.train_on else config.protocol.num_folds
    try:
        data = load(config.data)
        trained = [split_of(data, config.data, fold, num_folds).train for fold in range(num_folds)]
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    classes = min(len(np.unique(data.labels[rows])) for rows in trained)
    if classes >= config.protocol.batch_size:
        return []
    batch_size = min(config.protocol.batch_size, IMAGES_PER_CLASS * classes)
    return [f"loss.images_per_class={IMAGES_PER_CLASS}", f"protocol.batch_size={batch_size}"]


def preparation(request: Request, fold: int) -> list[str]:
    """``data.standardize=false`` where raw features score better on validation than standardised ones; else nothing.

    Few images give poor means and deviations, and what they are divided by may be noise.
    """
    if any(text.startswith("data.standardize=") for text in request.training):
        return []
    config, options = compose([*request.training, "keep=nothing"])
    options = replace(options, runs=request.own.runs)
    scores = {}
    for job in raw_jobs(TrainingJob(config, options), [fold]):
        result = parsed(train(job.config, job.options) / "result.json")
        scores[job.config.loss.name] = result["selection"]["validation"]["val"][PRIMARY]
    raw, standardized = (100 * scores[name] for name in ("raw", "raw_standardized"))
    better, worse = ("raw", "standardised") if raw > standardized else ("standardised", "raw")
    print(
        f"features: trained on {better}, with validation MAP@R {max(raw, standardized):.1f} "
        f"({worse}: {min(raw, standardized):.1f})",
        flush=True,
    )
    return ["data.standardize=false"] if raw > standardized else []
