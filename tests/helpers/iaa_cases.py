"""Intra-class Adaptive Augmentation as its tests make it, what it gives by hand, and the losses that it goes around."""

from collections import Counter
from functools import partial

import torch
from batches import random_batch
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_aug.losses import BinomialDevianceLoss, IntrospectiveSoftmaxLoss, SoftLiftedStructureLoss
from pml_aug.wrappers import IntraClassAdaptiveAugmentation

NUM_CLASSES, SIZE, COPIES = 6, 8, 2


batch = partial(random_batch, num_classes=4, width=SIZE)


def wrap(loss, miner=None, refreshed=True, **options):
    wrapper = IntraClassAdaptiveAugmentation(
        loss, NUM_CLASSES, SIZE, miner, **{"num_copies": COPIES, "neighbor_correction": False} | options
    )
    if refreshed:
        generator = torch.Generator().manual_seed(5)
        wrapper.refresh(0.3 * torch.randn(60, SIZE, generator=generator), torch.arange(60) % NUM_CLASSES)
    return wrapper


def noise_for(embeddings, copies=COPIES):
    return torch.randn(copies, *embeddings.shape, dtype=embeddings.dtype)


def seeded(loss, *arguments):
    torch.default_generator.manual_seed(7)
    return loss(*arguments)


def copies_by_hand(wrapper, embeddings, labels, noise):
    std = (wrapper.strength * wrapper.statistics.variance[labels]).sqrt()
    return torch.cat([embeddings + std * draw for draw in noise]), labels.repeat(len(noise))


def own_of(size, copies):
    return (torch.arange(size)[:, None] == torch.arange(size).repeat(copies + 1)).byte()


def leave_own_out(monkeypatch, own):
    """Takes own copies out of the positives where all PML losses and most miners look them up."""
    everything = lmu.get_matches_and_diffs

    def without_own(labels, ref_labels=None):
        matches, differences = everything(labels, ref_labels)
        return matches * (1 - own), differences

    monkeypatch.setattr(lmu, "get_matches_and_diffs", without_own)


def as_set(indices_tuple):
    """Pairs or triplets without their order, positives and negatives apart."""
    halves = [indices_tuple] if len(indices_tuple) == 3 else [indices_tuple[:2], indices_tuple[2:]]
    return [Counter(zip(*(rows.tolist() for rows in half), strict=True)) for half in halves]


CANDIDATES = {
    "AngularLoss": losses.AngularLoss,
    "BinomialDevianceLoss": BinomialDevianceLoss,
    "CircleLoss": losses.CircleLoss,
    "ContrastiveLoss": losses.ContrastiveLoss,
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MarginLoss": losses.MarginLoss,
    "MarginLoss by class": lambda: losses.MarginLoss(learn_beta=True, num_classes=NUM_CLASSES, nu=0.1),
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NTXentLoss": losses.NTXentLoss,
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "SoftLiftedStructureLoss": SoftLiftedStructureLoss,
    "SupConLoss": losses.SupConLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
    "TripletMarginLoss of some": lambda: losses.TripletMarginLoss(triplets_per_anchor=5),
    "TupletMarginLoss": losses.TupletMarginLoss,
}
ANCHORED = {
    "HistogramLoss": losses.HistogramLoss,
    "ThresholdConsistentMarginLoss": losses.ThresholdConsistentMarginLoss,
    "TripletMarginLoss(swap=True)": lambda: losses.TripletMarginLoss(swap=True),
}
SAMPLES = {
    "ArcFaceLoss": lambda: losses.ArcFaceLoss(NUM_CLASSES, SIZE),
    "CosFaceLoss": lambda: losses.CosFaceLoss(NUM_CLASSES, SIZE),
    "FastAPLoss": losses.FastAPLoss,
    "IntrospectiveSoftmaxLoss": lambda: IntrospectiveSoftmaxLoss(NUM_CLASSES, SIZE, 3),
    "LargeMarginSoftmaxLoss": lambda: losses.LargeMarginSoftmaxLoss(NUM_CLASSES, SIZE),
    "NormalizedSoftmaxLoss": lambda: losses.NormalizedSoftmaxLoss(NUM_CLASSES, SIZE),
    "P2SGradLoss": lambda: losses.P2SGradLoss(SIZE, NUM_CLASSES),
    "PNPLoss": losses.PNPLoss,
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE),
    "ProxyNCALoss": lambda: losses.ProxyNCALoss(NUM_CLASSES, SIZE),
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, Tn=5),
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SoftTripleLoss": lambda: losses.SoftTripleLoss(NUM_CLASSES, SIZE),
    "SphereFaceLoss": lambda: losses.SphereFaceLoss(NUM_CLASSES, SIZE),
    "SubCenterArcFaceLoss": lambda: losses.SubCenterArcFaceLoss(num_classes=NUM_CLASSES, embedding_size=SIZE),
}
REFUSED = {
    "InstanceLoss": losses.InstanceLoss,
    "ManifoldLoss": lambda: losses.ManifoldLoss(SIZE, K=3),
    "NPairsLoss": losses.NPairsLoss,
    "VICRegLoss": losses.VICRegLoss,
}
WORKING = CANDIDATES | ANCHORED | SAMPLES
