"""Batches that the data have classes enough for."""

import numpy as np

from ...config.compose import compose
from ...data import load
from ...data.split import split_of
from ...errors import UserError
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
