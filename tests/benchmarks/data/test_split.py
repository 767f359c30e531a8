import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.split import Split, class_disjoint_split


@st.composite
def labels_and_folds(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    num_folds = draw(st.integers(2, 6))
    num_classes = draw(st.integers(4 * num_folds, 60))
    ids = np.sort(np.random.default_rng(draw(st.integers(0, 99))).choice(1000, num_classes, replace=False))
    labels = np.repeat(ids, draw(st.integers(1, 3)))
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels), num_folds


def classes_of(labels: np.ndarray, split: Split) -> list[set[int]]:
    return [set(labels[rows].tolist()) for rows in split[:3]]


@given(labels_and_folds())
@settings(max_examples=50, deadline=None)
def test_parts_share_no_class_and_together_hold_every_row_once(case: tuple[np.ndarray, int]) -> None:
    labels, num_folds = case
    for fold in range(num_folds):
        split = class_disjoint_split(labels, fold, num_folds)
        assert sorted(np.concatenate(split[:3]).tolist()) == list(range(len(labels)))
        assert sum(len(part) for part in classes_of(labels, split)) == len(set(labels.tolist()))
        assert all(rows.dtype == np.int64 and np.all(np.diff(rows) > 0) for rows in split[:3])
        assert split.gallery is None


@given(labels_and_folds())
@settings(max_examples=50, deadline=None)
def test_every_class_of_the_first_half_validates_in_exactly_one_fold(case: tuple[np.ndarray, int]) -> None:
    labels, num_folds = case
    validated: list[int] = []
    for fold in range(num_folds):
        train, val, test = classes_of(labels, class_disjoint_split(labels, fold, num_folds))
        validated += val
        assert max(train | val) < min(test)
        assert len(test) - len(train | val) in (0, 1)
        assert len(val) >= 2
    ids = np.unique(labels)
    assert sorted(validated) == ids[: len(ids) // 2].tolist()


def test_twenty_classes_in_four_folds_by_hand() -> None:
    labels = np.arange(20)
    expected = {
        0: ([2, 3, 4, 5, 6, 7, 8, 9], [0, 1]),
        1: ([0, 1, 5, 6, 7, 8, 9], [2, 3, 4]),
        2: ([0, 1, 2, 3, 4, 7, 8, 9], [5, 6]),
        3: ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9]),
    }
    for fold, (train, val) in expected.items():
        split = class_disjoint_split(labels, fold)
        assert split.train.tolist() == train
        assert split.val.tolist() == val
        assert split.test.tolist() == list(range(10, 20))


def test_rows_follow_their_class_wherever_they_stand() -> None:
    labels = np.array([15, 0, 2, 15, 0, 3, 2] + list(range(16)))
    split = class_disjoint_split(labels, fold=1)
    assert split.val.tolist() == [2, 5, 6, 9, 10]
    assert split.test[:2].tolist() == [0, 3]


@pytest.mark.parametrize("fold", [-1, 4])
def test_fold_out_of_range_is_refused_by_name(fold: int) -> None:
    with pytest.raises(ValueError, match=rf"fold must be between 0 and 3 .* got {fold}"):
        class_disjoint_split(np.arange(40), fold)


def test_no_fold_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="num_folds must be at least 1, but got 0"):
        class_disjoint_split(np.arange(40), 0, num_folds=0)


def test_a_single_fold_trains_on_the_whole_half_and_validates_on_nothing() -> None:
    split = class_disjoint_split(np.arange(40), 0, num_folds=1)
    assert split.train.tolist() == list(range(20)) and split.test.tolist() == list(range(20, 40))
    assert split.val.shape == (0,) and split.val.dtype == np.int64
    labels, partition = partitioned(train_classes=2)
    split = class_disjoint_split(labels, 0, num_folds=1, partition=partition)
    assert split.train.tolist() == [0, 1, 2, 3] and split.val.size == 0


def test_a_single_fold_has_no_other_and_needs_two_classes_on_each_side() -> None:
    with pytest.raises(ValueError, match="fold must be 0 with num_folds=1, but got 1"):
        class_disjoint_split(np.arange(40), 1, num_folds=1)
    with pytest.raises(ValueError, match="1 fold needs at least 4 classes .* the data has 3"):
        class_disjoint_split(np.arange(3), 0, num_folds=1)


def test_too_few_classes_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match="4 folds need at least 16 classes .* the data has 15"):
        class_disjoint_split(np.arange(15), 0)


@pytest.mark.parametrize("labels", [np.zeros((4, 2), dtype=int), np.linspace(0, 1, 40)])
def test_labels_that_are_no_vector_of_integers_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be a vector of integers"):
        class_disjoint_split(labels, 0)


def partitioned(train_classes: int = 10, test_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Two rows a class; the test classes have a query and a gallery row each."""
    labels = np.repeat(np.arange(train_classes + test_classes), 2)
    return labels, np.where(labels < train_classes, 0, 2 + np.arange(len(labels)) % 2).astype(np.uint8)


def test_partition_and_not_the_half_says_which_classes_train() -> None:
    labels, partition = partitioned()
    split = class_disjoint_split(labels, 1, 4, np.minimum(partition, 1))
    assert sorted(set(labels[split.train]) | set(labels[split.val])) == list(range(10))
    assert set(labels[split.val].tolist()) == {2, 3, 4}
    assert split.test.tolist() == list(range(20, 28))
    assert split.gallery is None


def test_queries_and_gallery_are_kept_apart() -> None:
    labels, partition = partitioned()
    split = class_disjoint_split(labels, 0, 4, partition)
    assert split.test.tolist() == [20, 22, 24, 26]
    assert split.gallery is not None and split.gallery.tolist() == [21, 23, 25, 27]


@pytest.mark.parametrize("other", ["query", "gallery", "both"])
def test_rows_that_ask_and_are_found_beside_rows_that_do_one_of_the_two_are_refused(other: str) -> None:
    labels, partition = partitioned()
    partition[20] = 1
    if other != "both":
        partition[partition == {"query": 3, "gallery": 2}[other]] = 1
    with pytest.raises(ValueError, match="images queries that are also in the gallery, .* each would find itself"):
        class_disjoint_split(labels, 0, 4, partition)


def test_halves_given_as_a_partition_are_the_halves() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 2))
    for fold in range(4):
        given = class_disjoint_split(labels, fold, 4, (labels >= 10).astype(np.uint8))
        halves = class_disjoint_split(labels, fold)
        assert all(np.array_equal(*parts) for parts in zip(given[:3], halves[:3], strict=True))


def test_class_on_both_sides_of_a_partition_is_refused() -> None:
    labels, partition = partitioned()
    partition[19] = 1
    with pytest.raises(ValueError, match=r"partition puts 1 classes into training and test, such as \[9\]"):
        class_disjoint_split(labels, 0, 4, partition)


def test_queries_without_anything_to_find_are_refused() -> None:
    labels, partition = partitioned()
    partition[21] = 2
    with pytest.raises(ValueError, match="1 query classes have no image to find"):
        class_disjoint_split(labels, 0, 4, partition)


def test_partition_of_unknown_values_is_refused() -> None:
    labels, partition = partitioned()
    with pytest.raises(ValueError, match="partition must be a vector of 0, 1, 2 or 3"):
        class_disjoint_split(labels, 0, 4, partition + 1)


def test_partition_with_too_few_training_classes_is_refused() -> None:
    labels, partition = partitioned(train_classes=7)
    with pytest.raises(ValueError, match="4 folds need at least 8 training classes .* the data has 7"):
        class_disjoint_split(labels, 0, 4, partition)
