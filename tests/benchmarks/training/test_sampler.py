import numpy as np

from benchmarks.training.sampler import EpochSampler, make_sampler

LABELS = np.repeat(np.arange(10), 5)


def batches(sampler: EpochSampler, epoch: int) -> np.ndarray:
    sampler.start_epoch(epoch)
    return np.array(list(sampler)).reshape(-1, sampler.batch_size)


def test_a_batch_holds_so_many_images_of_so_many_classes() -> None:
    for images_per_class in (1, 4):
        for batch in batches(EpochSampler(LABELS, images_per_class, 8, batches=6, seed=0), epoch=1):
            classes, counts = np.unique(LABELS[batch], return_counts=True)
            assert len(classes) == 8 // images_per_class and set(counts) == {images_per_class}
            assert len(set(batch.tolist())) == 8


def test_an_epoch_has_the_batches_it_was_asked_for() -> None:
    for wanted in (1, 2, 7):
        assert batches(EpochSampler(LABELS, 4, 8, batches=wanted, seed=0), epoch=1).shape == (wanted, 8)


def test_batches_depend_on_seed_and_epoch_and_not_on_what_ran_before() -> None:
    first, second = (EpochSampler(LABELS, 4, 8, batches=6, seed=0) for _ in range(2))
    batches(first, epoch=1)
    np.random.rand(3)
    third_epoch = batches(first, epoch=3)
    assert (third_epoch == batches(second, epoch=3)).all()
    assert (third_epoch != batches(second, epoch=4)).any()
    assert (third_epoch != batches(EpochSampler(LABELS, 4, 8, batches=6, seed=1), epoch=3)).any()


def test_the_shared_generator_is_left_alone() -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    batches(EpochSampler(LABELS, 4, 8, batches=6, seed=0), epoch=1)
    assert np.random.rand() == expected


def test_without_a_number_of_images_per_class_every_row_comes_before_any_comes_again() -> None:
    sampler = make_sampler(LABELS, None, 8, batches=8, seed=0)
    rows = list(sampler)
    assert len(rows) == len(sampler) == 64
    assert sorted(rows[:50]) == list(range(50)) and len(set(rows[50:])) == 14
    sampler.start_epoch(2)
    assert list(sampler) != rows
    sampler.start_epoch(1)
    assert list(sampler) == rows
