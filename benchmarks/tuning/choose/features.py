"""The features of the images, computed once."""

import time

from ...config.compose import compose
from ...data import load
from ...data.audit import audit_or_refuse
from ...data.split import split_of
from ...errors import UserError
from ...training.check import check
from ...training.extraction import extract, seconds_an_image
from .clock import Clock, minutes
from .request import Request

AT_MOST = 0.5  # of the time


def compute_features(request: Request, clock: Clock) -> None:
    """Compute the features of the images, after an audit of the images' split.

    Raises:
        UserError: the images cannot be used, or the features would take, or took, more than half of the time.
    """
    assert request.images is not None
    config, options = compose(request.images)
    check(config)
    try:
        data = load(config.data)
        split = split_of(data, config.data, 0, compose(request.training)[0].protocol.num_folds)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    audit_or_refuse(data, split, config.data)
    del data
    if not request.features.exists():
        each, images = seconds_an_image(config, options)
        print(
            f"features: {images:,} images by {config.trunk.name}, about {minutes(each * images)} "
            f"({1 / each:.0f} images per second)",
            flush=True,
        )
        if each * images > AT_MOST * clock.left:
            needed = (each * images / AT_MOST + clock.taken) / 60
            raise UserError(
                f"the features would take more than half of the time: give minutes={needed:.0f} or more, a smaller "
                "data.image_size, or another trunk"
            )
    started = time.monotonic()
    request.features.parent.mkdir(parents=True, exist_ok=True)
    extract(config, options, request.features, until=clock.end - 0.8 * AT_MOST * clock.seconds)
    print(f"features: {request.features}, in {minutes(time.monotonic() - started)}", flush=True)
