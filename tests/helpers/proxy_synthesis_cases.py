"""The losses that ProxySynthesis accepts, and what they get when it calls them."""

from functools import partial

from batches import random_batch
from host_losses import make_loss, with_proxies
from pytorch_metric_learning import distances

C, D = 6, 4
CENTERS = {"SoftTripleLoss": {"centers_per_class": 3}, "SubCenterArcFaceLoss": {"sub_centers": 2}}

# every loss that ProxySynthesis accepts, by the number of classes
WORK = {
    name: lambda c, name=name, **options: make_loss(name, c, D, **CENTERS.get(name, {}), **options)
    for name in with_proxies()
}


class Cosine(distances.CosineSimilarity):
    """A cosine of another class, of which ProxySynthesis cannot know what it does with rows."""


batch = partial(random_batch, size=8, num_classes=4, width=D)


def value_and_gradients(loss, embeddings, labels, **draws):
    loss.zero_grad()
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, **draws)
    value.backward()
    return [value.detach(), embeddings.grad, *(parameter.grad for parameter in loss.parameters())]


def proxies_of(loss):
    """The proxies as rows; most of PML's losses store them as columns."""
    return loss.proxies if hasattr(loss, "proxies") else next(iter(loss._parameters.values())).T


def record_calls(loss):
    """The arguments of all later calls of `loss.compute_loss`: embeddings, labels, proxies."""
    calls, compute_loss = [], loss.compute_loss

    def recording(embeddings, labels, *rest):
        calls.append((embeddings.detach(), labels, proxies_of(loss).detach()))
        return compute_loss(embeddings, labels, *rest)

    loss.compute_loss = recording
    return calls
