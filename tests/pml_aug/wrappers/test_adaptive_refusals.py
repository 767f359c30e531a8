"""Settings, batches and draws that Intra-class Adaptive Augmentation refuses."""

import re

import pytest
from iaa_cases import SIZE, batch, wrap
from pytorch_metric_learning import losses

from pml_aug.wrappers import IntraClassAdaptiveAugmentation


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_copies": -1}, "num_copies must be at least 0, but got -1"),
        ({"num_copies": 1.5}, "num_copies must be an integer, but got 1.5"),
        ({"strength": float("inf")}, "strength must be at least 0 and finite, but got inf"),
        ({"neighbor_correction": "no"}, "neighbor_correction must be True or False, but got 'no'"),
        ({"strength": -0.1}, "strength must be at least 0, but got -0.1"),
        ({"strength": float("nan")}, "strength must be at least 0, but got nan"),
        ({"momentum": 2}, "momentum must be between 0 and 1, but got 2"),
        ({"noise_std": "root"}, "noise_std must be one of 'sqrt', 'repeated_sqrt', but got 'root'"),
        ({"num_neighbors": 0}, "num_neighbors must be at least 1, but got 0"),
        ({"beta": -1}, "beta must be at least 0, but got -1"),
        ({"gamma": 2}, "gamma must be between 0 and 1, but got 2"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrap(losses.ContrastiveLoss(), refreshed=False, **options)


def test_correction_of_a_single_class_is_refused_at_once():
    with pytest.raises(ValueError, match="neighbor_correction=True needs num_classes to be at least 2, but got 1"):
        IntraClassAdaptiveAugmentation(losses.ContrastiveLoss(), 1, 2, neighbor_correction=True)


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :5], y), rf"`embeddings` must have {SIZE} columns \(embedding_size\), but got 5"),
        (lambda x, y: (x, y + 3), r"labels must be in 0 .. 5, the classes of .*, but got 3 .. 6"),
        (lambda x, y: (x, y - 1), r"labels must be in 0 .. 5.*but got -1 .. 2"),
        (lambda x, y: (x / 0, y), "`embeddings` must be finite"),
    ],
)
def test_bad_batches_are_refused_from_the_first_step(change, message, refreshed):
    with pytest.raises(ValueError, match=message):
        wrap(losses.ContrastiveLoss(), refreshed=refreshed)(*change(*batch()))


def test_a_draw_that_no_part_knows_is_refused():
    with pytest.raises(TypeError, match=re.escape("unexpected keyword argument 'mixing'")):
        wrap(losses.ContrastiveLoss())(*batch(), mixing=0.5)
