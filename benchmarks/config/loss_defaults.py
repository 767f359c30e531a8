"""Batches and learning rates of losses that a configuration names by class alone."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .targets import targets_in

AUTO = "auto"
PACKAGES = ("pytorch_metric_learning", "pml_aug")  # whose losses are listed here
WITH_PROXIES = (
    "ArcFaceLoss", "CosFaceLoss", "IntrospectiveSoftmaxLoss", "LargeMarginSoftmaxLoss",
    "NormalizedSoftmaxLoss", "P2SGradLoss", "ProxyAnchorLoss", "ProxyNCALoss", "SoftTripleLoss", "SphereFaceLoss",
    "SubCenterArcFaceLoss",
)  # fmt: skip  # losses with weights per class
LEARNT = ("learn_beta",)  # arguments that make weights of a threshold
IMAGES_PER_CLASS, WITH_PROXIES_IMAGES_PER_CLASS = 4, 1  # as in the reality check
PROXY_LR, THRESHOLD_LR = 0.03, 0.001


def fill_in(loss: Mapping[str, Any]) -> dict[str, Any]:
    """The ``loss`` group of a configuration with ``auto`` replaced by what suits the class of the loss.

    Args:
        loss: ``criterion``, ``images_per_class``, ``proxy_lr`` and others.

    Raises:
        UserError: no loss is named, or the class is of another package, whose needs are not known.

    Example:
        >>> auto = {"images_per_class": "auto", "proxy_lr": "auto"}
        >>> found = fill_in({"criterion": {"_target_": "pytorch_metric_learning.losses.ArcFaceLoss"}, **auto})
        >>> found["images_per_class"], found["proxy_lr"]
        (1, 0.03)
    """
    criterion = loss["criterion"]
    if not isinstance(criterion, Mapping) or "_target_" not in criterion:
        raise UserError(
            f"loss={loss['name']} needs a class: set loss.criterion._target_=pytorch_metric_learning.losses.NAME"
        )
    missing = [key for key in ("images_per_class", "proxy_lr") if loss[key] == AUTO]
    if not missing:
        return dict(loss)
    targets = [str(target) for _, target in targets_in(criterion)]
    if targets[0].partition(".")[0] not in PACKAGES:
        raise UserError(
            f"loss.{missing[0]} is not known for {targets[0]}: set loss.images_per_class (4 suits losses of pairs, 1 "
            "others) and loss.proxy_lr (null, or a learning rate if the loss has weights)"
        )
    classes = {target.rpartition(".")[2] for target in targets}
    has_proxies = bool(classes & set(WITH_PROXIES))
    has_thresholds = any(criterion.get(key) for key in LEARNT)
    found = {
        "images_per_class": WITH_PROXIES_IMAGES_PER_CLASS if has_proxies else IMAGES_PER_CLASS,
        "proxy_lr": PROXY_LR if has_proxies else THRESHOLD_LR if has_thresholds else None,
    }
    return {**loss, **{key: found[key] for key in missing}}
