"""Embedding Expansion as its tests make it, and the losses of proxies that it goes around."""

from functools import partial

from batches import random_batch
from pytorch_metric_learning import losses

from pml_aug.expansion import pooled_distances

C, D = 4, 5


batch = partial(random_batch, num_classes=3, width=D)


def matrix_of(wrapper, embeddings, labels, distance):
    query = wrapper.expansion.expand(embeddings, labels, distance)
    return pooled_distances(distance, query, query)


OF_PROXIES = {
    "ArcFaceLoss": lambda: losses.ArcFaceLoss(C, D),
    "CosFaceLoss": lambda: losses.CosFaceLoss(C, D),
    "LargeMarginSoftmaxLoss": lambda: losses.LargeMarginSoftmaxLoss(C, D),
    "NormalizedSoftmaxLoss": lambda: losses.NormalizedSoftmaxLoss(C, D),
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(C, D),
    "ProxyNCALoss": lambda: losses.ProxyNCALoss(C, D),
    "SoftTripleLoss": lambda: losses.SoftTripleLoss(C, D, centers_per_class=3),
    "SphereFaceLoss": lambda: losses.SphereFaceLoss(C, D),
    "SubCenterArcFaceLoss": lambda: losses.SubCenterArcFaceLoss(num_classes=C, embedding_size=D),
}
