import numpy as np
import pytest
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as c_f

from benchmarks.training.sampler import EpochBatches
from benchmarks.training.seeds import stream_seed

LABELS = np.repeat(np.arange(10), 5)


def batches(sampler: EpochBatches, epoch: int) -> np.ndarray:
    sampler.start_epoch(epoch)
    return torch.stack(list(sampler)).numpy()


def test_a_batch_holds_so_many_images_of_so_many_classes() -> None:
    for images_per_class in (1, 4):
        for batch in batches(EpochBatches(LABELS, images_per_class, 8, batches=6, seed=0), epoch=1):
            classes, counts = np.unique(LABELS[batch], return_counts=True)
            assert len(classes) == 8 // images_per_class and set(counts) == {images_per_class}
            assert len(set(batch.tolist())) == 8


@pytest.mark.parametrize("images_per_class", [1, 2, 4])
def test_batches_are_those_of_pmls_sampler_on_a_generator_of_the_epoch(
    images_per_class: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.random.RandomState(0).permutation(
        np.concatenate([np.repeat([3, 5, 7, 9], 6), [1, 1, 1], np.arange(20)])
    )
    pmls = MPerClassSampler(labels, images_per_class, 8, length_before_new_iter=5 * 8)
    pmls.labels.sort()
    monkeypatch.setattr(c_f, "NUMPY_RANDOM", np.random.RandomState(stream_seed(3, "batches", 2)))
    expected = np.array(list(pmls)).reshape(5, 8)
    assert (batches(EpochBatches(labels, images_per_class, 8, batches=5, seed=3), epoch=2) == expected).all()


def test_an_epoch_has_the_batches_it_was_asked_for() -> None:
    for wanted in (1, 2, 7):
        sampler = EpochBatches(LABELS, 4, 8, batches=wanted, seed=0)
        assert batches(sampler, epoch=1).shape == (wanted, 8) and len(sampler) == wanted


def test_batches_depend_on_seed_and_epoch_and_not_on_what_ran_before() -> None:
    first, second = (EpochBatches(LABELS, 4, 8, batches=6, seed=0) for _ in range(2))
    batches(first, epoch=1)
    np.random.rand(3)
    third_epoch = batches(first, epoch=3)
    assert (third_epoch == batches(second, epoch=3)).all()
    assert (third_epoch != batches(second, epoch=4)).any()
    assert (third_epoch != batches(EpochBatches(LABELS, 4, 8, batches=6, seed=1), epoch=3)).any()


def test_the_shared_generator_is_left_alone() -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    batches(EpochBatches(LABELS, 4, 8, batches=6, seed=0), epoch=1)
    assert np.random.rand() == expected


def test_without_a_number_of_images_per_class_every_row_comes_before_any_comes_again() -> None:
    sampler = EpochBatches(LABELS, None, 8, batches=8, seed=0)
    rows = batches(sampler, epoch=1).flatten().tolist()
    assert sorted(rows[:50]) == list(range(50)) and len(rows) == 64 and len(set(rows[50:])) == 14
    assert batches(sampler, epoch=2).flatten().tolist() != rows
    assert batches(sampler, epoch=1).flatten().tolist() == rows
