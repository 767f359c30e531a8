"""What the keys of a data set's configuration make of its split."""

from typing import Any

import numpy as np
import pytest

from benchmarks.config.compose import compose
from benchmarks.config.data import DataConfig
from benchmarks.data.arrays import ImageArrays
from benchmarks.data.split import Split, split_of
from benchmarks.errors import UserError


def arrays(labels: np.ndarray, partition: np.ndarray | None = None) -> ImageArrays:
    images = np.zeros((len(labels), 2, 2, 1), dtype=np.uint8)
    return ImageArrays("mine", images, labels, [str(k) for k in np.unique(labels)], None, [], partition)


def split(labels: np.ndarray, fold: int = 0, partition: np.ndarray | None = None, **keys: Any) -> Split:
    return split_of(arrays(labels, partition), DataConfig("mine", "npz", "mine.npz", **keys), fold, num_folds=4)


PAIRS = np.repeat(np.arange(40), 2)


def test_a_seed_shuffles_the_classes_before_they_are_halved_and_cut() -> None:
    plain, one, again, two = (split(PAIRS, split_seed=seed) for seed in (None, 1, 1, 2))
    assert all(np.array_equal(*parts) for parts in zip(one[:3], again[:3], strict=True))
    assert len({tuple(found.test) for found in (plain, one, two)}) == 3
    for found in (one, two):
        assert [len(part) for part in found[:3]] == [len(part) for part in plain[:3]]
        assert sorted(np.concatenate(found[:3])) == list(range(80)) and np.all(np.diff(found.test) > 0)
    folds = [split(PAIRS, fold, split_seed=1) for fold in range(4)]
    assert len({tuple(found.test) for found in folds}) == 1
    assert len(np.unique(np.concatenate([found.val for found in folds]))) == 40


def test_a_seed_shuffles_only_the_folds_where_the_test_set_is_given() -> None:
    partition = (PAIRS >= 20).astype(np.uint8)
    plain, shuffled = (split(PAIRS, partition=partition, split_seed=seed) for seed in (None, 1))
    assert np.array_equal(plain.test, shuffled.test) and not np.array_equal(plain.val, shuffled.val)


def test_all_classes_train_on_demand() -> None:
    for partition in (None, (PAIRS >= 20).astype(np.uint8)):
        found = split(PAIRS, partition=partition, train_on="all")
        assert found.train.tolist() == list(range(80)) and not len(found.val) and not len(found.test)
    with pytest.raises(ValueError, match="fold must be 0 with data.train_on=all"):
        split(PAIRS, fold=1, train_on="all")


def test_classes_of_one_image_are_distractors_of_the_test_set_or_train() -> None:
    labels = np.concatenate([PAIRS, np.arange(40, 45)])
    for seed in (None, 1):
        plain = split(PAIRS, split_seed=seed)
        distracted = split(labels, single_images="distractors", split_seed=seed)
        trained = split(labels, single_images="train", split_seed=seed)
        alone = list(range(80, 85))
        assert distracted.test.tolist() == plain.test.tolist() + alone
        assert trained.train.tolist() == plain.train.tolist() + alone
        assert distracted.train.tolist() == plain.train.tolist() and trained.test.tolist() == plain.test.tolist()
        assert np.array_equal(distracted.val, plain.val) and np.array_equal(trained.val, plain.val)


def test_classes_of_one_image_stay_on_the_side_that_the_data_give_them() -> None:
    labels = np.concatenate([PAIRS, np.arange(40, 44)])
    partition = np.concatenate([PAIRS >= 20, [0, 0, 1, 1]]).astype(np.uint8)
    distracted = split(labels, partition=partition, single_images="distractors")
    trained = split(labels, partition=partition, single_images="train")
    assert distracted.test[-2:].tolist() == trained.test[-2:].tolist() == [82, 83]
    assert 80 not in distracted.train and trained.train[-2:].tolist() == [80, 81]


def test_the_new_keys_name_a_run_only_where_they_are_set() -> None:
    def identity(*overrides: str) -> dict[str, Any]:
        return compose(["data=npz", "data.path=a.npz", "loss=proxy_anchor", *overrides])[0].identity()["data"]

    assert not {"split_seed", "train_on", "single_images"} & identity().keys()
    for key, value in (("split_seed", 1), ("train_on", "all"), ("single_images", "train")):
        assert identity(f"data.{key}={value}") == identity() | {key: value}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.split_seed=-1"], "data.split_seed must be null or at least 0, but got -1"),
        (["data=cub", "data.split_seed=1"], "data.split_seed has no effect with data.kind=cub"),
        (["data.train_on=train"], "data.train_on must be null or all, but got 'train'"),
        (["data.single_images=test"], "unknown data.single_images 'test'"),
        (["data.single_images=train"], "loss=multi_similarity compares images .* data.single_images=distractors"),
        (["data.train_on=all", "fold=1"], "data.train_on=all leaves neither .* fold=1"),
        (["data.train_on=all", "protocol.patience=3"], "data.train_on=all leaves neither .* protocol.patience=3"),
        (["data.train_on=all", "protocol.test_scoring=never"], "data.train_on=all .* as in tuning"),
        (["data.train_on=all", "protocol.keep_embeddings=true"], "data.train_on=all leaves .*keep_embeddings=true"),
    ],
)
def test_what_cannot_be_is_refused_by_key(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose(["data=npz", "data.path=a.npz", *overrides])
