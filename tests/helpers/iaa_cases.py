"""Refreshed wrappers, copies by hand, and the losses that IntraClassAdaptiveAugmentation accepts, by copy mode."""

from collections import Counter
from functools import partial

import torch
from batches import random_batch
from host_losses import by_copy_mode, makers, refused_by
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_aug.host import CopyMode
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


def is_self_of(size, copies):
    return (torch.arange(size)[:, None] == torch.arange(size).repeat(copies + 1)).byte()


def leave_self_out(monkeypatch, is_self):
    """Leave self-copies out of the positives where all PML losses and most miners look them up."""
    everything = lmu.get_matches_and_diffs

    def without_self(labels, ref_labels=None):
        matches, differences = everything(labels, ref_labels)
        return matches * (1 - is_self), differences

    monkeypatch.setattr(lmu, "get_matches_and_diffs", without_self)


def as_set(indices_tuple):
    """Pairs or triplets without their order, positives and negatives apart."""
    halves = [indices_tuple] if len(indices_tuple) == 3 else [indices_tuple[:2], indices_tuple[2:]]
    return [Counter(zip(*(rows.tolist() for rows in half), strict=True)) for half in halves]


_MAKE = makers(NUM_CLASSES, SIZE)
REFERENCES = {name: _MAKE[name] for name in by_copy_mode(CopyMode.REFERENCES)} | {
    "BinomialDevianceLoss": BinomialDevianceLoss,
    "MarginLoss by class": lambda: losses.MarginLoss(learn_beta=True, num_classes=NUM_CLASSES, nu=0.1),
    "SoftLiftedStructureLoss": SoftLiftedStructureLoss,
    "TripletMarginLoss of some": lambda: losses.TripletMarginLoss(triplets_per_anchor=5),
}
INDEXED = {name: _MAKE[name] for name in by_copy_mode(CopyMode.INDEXED)} | {
    "TripletMarginLoss(swap=True)": lambda: losses.TripletMarginLoss(swap=True),
}
IN_BATCH = {name: _MAKE[name] for name in by_copy_mode(CopyMode.IN_BATCH)} | {
    "IntrospectiveSoftmaxLoss": lambda: IntrospectiveSoftmaxLoss(NUM_CLASSES, SIZE, 3),
}
REFUSED = {name: _MAKE[name] for name in refused_by("IntraClassAdaptiveAugmentation")}
WORKING = REFERENCES | INDEXED | IN_BATCH
