"""Embedding Expansion as its tests make it, and the losses of proxies that it goes around."""

from functools import partial

from batches import random_batch
from host_losses import accepted_by, make_loss, with_proxies

from pml_aug.expansion import pooled_distances

C, D = 4, 5


batch = partial(random_batch, num_classes=3, width=D)


def matrix_of(wrapper, embeddings, labels, distance):
    query = wrapper.expansion.expand(embeddings, labels, distance)
    return pooled_distances(distance, query, query)


OF_PROXIES = {
    name: partial(make_loss, name, C, D) for name in with_proxies() if name in accepted_by("EmbeddingExpansion")
}
