"""Which rows are brought together: properties over arbitrary batches, and the official search."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_aug.synthesis import (
    adjacent_pairs,
    all_positive_pairs,
    different_class_pairs,
    order_without_equal_neighbors,
    random_circle,
    rolled_pairs,
    within_class_pairs,
)

batches = st.lists(st.integers(0, 6), max_size=24).map(lambda labels: torch.tensor(labels, dtype=torch.long))


@given(batches)
def test_different_class_pairs_join_every_row_with_one_of_another_class(labels):
    start, end = different_class_pairs(labels)
    assert bool((labels[start] != labels[end]).all())
    several = len(set(labels.tolist())) > 1
    assert sorted(start.tolist()) == (list(range(len(labels))) if several else [])
    assert len(start) == len(end)


@given(batches)
def test_different_class_pairs_use_rows_as_evenly_as_the_largest_class_allows(labels):
    _, end = different_class_pairs(labels)
    used = torch.bincount(end, minlength=len(labels))[: len(labels)]
    size = torch.bincount(labels, minlength=7)
    if len(end) and 2 * size.max() <= len(labels):
        assert used.tolist() == [1] * len(labels)
    elif len(end):  # the rows of the class that is too large share the others
        of_others = used[labels != size.argmax()]
        assert of_others.max() - of_others.min() <= 1


def test_different_class_pairs_of_one_class_are_none():
    assert len(different_class_pairs(torch.zeros(5, dtype=torch.long)).start) == 0


def test_different_class_pairs_follow_the_generator():
    labels = torch.arange(12) % 6

    def drawn(seed):
        start, end = different_class_pairs(labels, torch.Generator().manual_seed(seed))
        return end[start.argsort()].tolist()

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(20)}) > 10


@given(batches)
def test_within_class_pairs_are_disjoint_and_leave_one_row_of_each_odd_class(labels):
    start, end = within_class_pairs(labels)
    used = torch.cat([start, end]).tolist()
    assert bool((labels[start] == labels[end]).all())
    assert len(used) == len(set(used))
    alone = [int(labels[row]) for row in set(range(len(labels))) - set(used)]
    assert sorted(alone) == [c for c, count in enumerate(torch.bincount(labels).tolist()) if count % 2]


@given(batches)
def test_within_class_pairs_follow_the_order_of_the_batch(labels):
    start, end = within_class_pairs(labels)
    for label in set(labels.tolist()):
        rows = torch.nonzero(labels == label).flatten().tolist()
        mine = [pair for pair in zip(start.tolist(), end.tolist(), strict=True) if labels[pair[0]] == label]
        assert mine == list(zip(rows[0::2], rows[1::2], strict=False))


@given(batches)
def test_all_positive_pairs_are_every_pair_of_equal_labels_once(labels):
    pairs = list(zip(*(rows.tolist() for rows in all_positive_pairs(labels)), strict=True))
    expected = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels)) if labels[i] == labels[j]]
    assert sorted(pairs) == expected


def test_adjacent_pairs_do_not_look_at_labels():
    start, end = adjacent_pairs(torch.tensor([5, 6, 7, 8]))
    assert (start.tolist(), end.tolist()) == ([0, 2], [1, 3])


def test_adjacent_pairs_of_an_odd_batch_are_refused():
    with pytest.raises(ValueError, match='needs an even batch, but got 3 rows: use pairing="within_class"'):
        adjacent_pairs(torch.tensor([0, 0, 1]))


@given(batches)
def test_rolled_pairs_join_each_row_with_the_one_before(labels):
    start, end = rolled_pairs(labels)
    assert end.tolist() == [(row - 1) % len(labels) for row in start.tolist()]


@pytest.mark.parametrize("name", ["psreorder_00", "psreorder_01", "psreorder_02"])
def test_the_official_search_finds_the_recorded_order(golden, name):
    file = golden(name)
    order = order_without_equal_neighbors(file.labels_before)
    assert torch.equal(order, file.perm)
    assert torch.equal(file.labels_before[order], file.labels_after)
    equal_neighbours = bool((file.labels_after == file.labels_after.roll(1)).any())
    assert equal_neighbours == bool(file.swaps_in_last_pass)


def test_the_search_stops_after_its_passes():
    assert order_without_equal_neighbors(torch.tensor([0, 0, 1, 1]), max_passes=0).tolist() == [0, 1, 2, 3]


def test_a_random_circle_gives_everything_to_another_one():
    for count in (2, 3, 50):
        others = random_circle(count)
        assert sorted(others.tolist()) == list(range(count)) and not (others == torch.arange(count)).any()
    assert random_circle(1).tolist() == [0] and random_circle(0).tolist() == []


def test_a_random_circle_is_drawn_from_the_generator():
    first, again, other = (random_circle(50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_every_successor_in_a_random_circle_is_equally_likely():
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(4, 4)
    for _ in range(900):
        counts[torch.arange(4), random_circle(4, generator)] += 1
    assert (counts[~torch.eye(4, dtype=torch.bool)] - 300).abs().max() < 5 * 14  # five standard deviations
