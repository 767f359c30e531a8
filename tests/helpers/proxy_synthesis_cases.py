"""Proxy Synthesis as its tests look at it, and the losses of proxies that it goes around."""

from functools import partial

from batches import random_batch
from pytorch_metric_learning import distances, losses

C, D = 6, 4

# every loss of the host library that has proxies of its classes, by the number of classes
WORK = {
    "ArcFaceLoss": lambda c, **options: losses.ArcFaceLoss(c, D, **options),
    "CosFaceLoss": lambda c, **options: losses.CosFaceLoss(c, D, **options),
    "LargeMarginSoftmaxLoss": lambda c, **options: losses.LargeMarginSoftmaxLoss(c, D, **options),
    "NormalizedSoftmaxLoss": lambda c, **options: losses.NormalizedSoftmaxLoss(c, D, **options),
    "P2SGradLoss": lambda c, **options: losses.P2SGradLoss(D, c, **options),
    "ProxyAnchorLoss": lambda c, **options: losses.ProxyAnchorLoss(c, D, **options),
    "ProxyNCALoss": lambda c, **options: losses.ProxyNCALoss(c, D, **options),
    "SoftTripleLoss": lambda c, **options: losses.SoftTripleLoss(c, D, centers_per_class=3, **options),
    "SphereFaceLoss": lambda c, **options: losses.SphereFaceLoss(c, D, **options),
    "SubCenterArcFaceLoss": lambda c, **options: losses.SubCenterArcFaceLoss(
        num_classes=c, embedding_size=D, sub_centers=2, **options
    ),
}


class Cosine(distances.CosineSimilarity):
    """A cosine by another name: what it does with rows is not known, so it is shown the mixtures themselves."""


batch = partial(random_batch, size=8, num_classes=4, width=D)


def value_and_gradients(loss, embeddings, labels, **draws):
    loss.zero_grad()
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, **draws)
    value.backward()
    return [value.detach(), embeddings.grad, *(parameter.grad for parameter in loss.parameters())]


def proxies_of(loss):
    """The proxies one below the other; PML stores those of most losses as columns."""
    return loss.proxies if hasattr(loss, "proxies") else next(iter(loss._parameters.values())).T


def record_calls(loss):
    """What `compute_loss` of `loss` is given from now on: embeddings, labels, proxies."""
    calls, compute_loss = [], loss.compute_loss

    def recording(embeddings, labels, *rest):
        calls.append((embeddings.detach(), labels, proxies_of(loss).detach()))
        return compute_loss(embeddings, labels, *rest)

    loss.compute_loss = recording
    return calls
