"""Rows with an uncertainty, and the forms of the introspective similarity and distance."""

import torch

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity

N, C, D = 12, 3, 4
BOTH = [IntrospectiveSimilarity, IntrospectiveDistance]
FORMS = [
    IntrospectiveSimilarity(D),
    IntrospectiveSimilarity(D, tau=1.0, offset=0.0),
    IntrospectiveSimilarity(D, squared=False, offset=0.0),
    IntrospectiveSimilarity(D, normalize_in_distance=True),
    IntrospectiveDistance(D),
    IntrospectiveDistance(D, squared=True, offset=4.0),
    IntrospectiveDistance(D, normalize_embeddings=False),
    IntrospectiveDistance(D, power=2),
]


def rows(size=N, dtype=torch.float32, uncertainty=1.0):
    """Rows [semantic | uncertainty], four of each class one after the other."""
    return torch.cat([torch.randn(size, D), uncertainty * torch.randn(size, D)], dim=1).to(dtype)


def labels(size=N):
    return torch.arange(size) // 4


def name_of(form):
    return f"{type(form).__name__}-{FORMS.index(form)}"
