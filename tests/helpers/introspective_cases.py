"""Rows with an uncertainty, and the forms of the introspective similarity and distance."""

import torch
from pytorch_metric_learning import losses

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
BY_ROWS = {
    "ContrastiveLoss": losses.ContrastiveLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MarginLoss": losses.MarginLoss,
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NPairsLoss": losses.NPairsLoss,
    "NTXentLoss": losses.NTXentLoss,
    "NormalizedSoftmaxLoss": lambda **options: losses.NormalizedSoftmaxLoss(C, D, **options),
    "ProxyAnchorLoss": lambda **options: losses.ProxyAnchorLoss(C, D, **options),
    "ProxyNCALoss": lambda **options: losses.ProxyNCALoss(C, D, **options),
    "SupConLoss": losses.SupConLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
}
BY_SIMILARITY = {
    "ArcFaceLoss": lambda **options: losses.ArcFaceLoss(C, D, **options),
    "CircleLoss": losses.CircleLoss,
    "CosFaceLoss": lambda **options: losses.CosFaceLoss(C, D, **options),
    "HistogramLoss": lambda **options: losses.HistogramLoss(10, **options),
    "InstanceLoss": lambda **options: losses.InstanceLoss(gamma=4, **options),
    "LargeMarginSoftmaxLoss": lambda **options: losses.LargeMarginSoftmaxLoss(C, D, **options),
    "PNPLoss": losses.PNPLoss,
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SoftTripleLoss": lambda **options: losses.SoftTripleLoss(C, D, **options),
    "SubCenterArcFaceLoss": lambda **options: losses.SubCenterArcFaceLoss(num_classes=C, embedding_size=D, **options),
    "TupletMarginLoss": losses.TupletMarginLoss,
}
BY_DISTANCE = {
    "FastAPLoss": losses.FastAPLoss,
    "RankedListLoss": lambda **options: losses.RankedListLoss(margin=0.4, Tn=1, **options),
}


def rows(size=N, dtype=torch.float32, uncertainty=1.0):
    """Rows [semantic | uncertainty], four of each class one after the other."""
    return torch.cat([torch.randn(size, D), uncertainty * torch.randn(size, D)], dim=1).to(dtype)


def labels(size=N):
    return torch.arange(size) // 4


def name_of(form):
    return f"{type(form).__name__}-{FORMS.index(form)}"
