from collections.abc import Callable
from functools import partial

import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor

from benchmarks.profiling.op_counter import count
from benchmarks.runs.schema import ALWAYS, METRICS, PER_QUERY
from benchmarks.training import accuracy, first_match
from benchmarks.training.accuracy import RetrievalAccuracy, relevant_counts
from benchmarks.training.neighbors import ExactNeighbors, FaissNeighbors, Neighbors

CPU = torch.device("cpu")


def random_embeddings(images_per_class: list[int], tied: bool = False) -> tuple[Tensor, Tensor]:
    labels = torch.repeat_interleave(torch.arange(len(images_per_class)), torch.tensor(images_per_class))
    labels = labels[torch.randperm(len(labels))]
    centres = torch.randn(len(images_per_class), 8)
    embeddings = torch.nn.functional.normalize(centres[labels] + torch.randn(len(labels), 8))
    return (embeddings * 2).round() if tied else embeddings, labels


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "images_per_class",
    [[2, 2, 3], [12, 5, 20, 3, 7], [4] * 50, [97, 60, 41], [1, 1, 5, 9, 30]],
    ids=lambda counts: f"{len(counts)} classes",
)
def test_scores_are_pmls_to_the_last_digit(
    images_per_class: list[int], tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "AT_ONCE", 700)  # so that there are several parts
    embeddings, labels = random_embeddings(images_per_class, tied)
    search = ExactNeighbors(side=64)
    pml = AccuracyCalculator(include=PER_QUERY, k="max_bin_count", device=CPU, knn_func=search)
    ours = RetrievalAccuracy(CPU, search)
    assert {name: ours.get_accuracy(embeddings, labels)[name] for name in PER_QUERY} == pml.get_accuracy(
        embeddings, labels
    )

    gallery, gallery_labels = random_embeddings([7, 3, 2, 11, 4][: len(images_per_class)], tied)
    if len(gallery) > 20:
        pair = embeddings, labels, gallery, gallery_labels
        assert {name: ours.get_accuracy(*pair)[name] for name in PER_QUERY} == pml.get_accuracy(*pair)


@pytest.mark.parametrize("images_per_class", [[12, 5, 20, 3, 7], [4] * 120])
def test_with_faiss_they_are_those_of_pmls_default(images_per_class: list[int]) -> None:
    embeddings, labels = random_embeddings(images_per_class, tied=True)
    pml = AccuracyCalculator(include=PER_QUERY, k="max_bin_count", device=CPU).get_accuracy(embeddings, labels)
    # a longer list of neighbours may be tied differently at its end, so the longest class decides
    ours = RetrievalAccuracy(CPU, FaissNeighbors()).get_accuracy(embeddings, labels)
    if max(images_per_class) > 8:
        assert {name: ours[name] for name in PER_QUERY} == pml
    assert ours["recall_at_1"] == ours["precision_at_1"]


def test_each_querys_terms_come_from_the_same_pass() -> None:
    embeddings, labels = random_embeddings([12, 5, 20, 3, 7])
    ours = RetrievalAccuracy(CPU)
    scores = ours.get_accuracy(embeddings, labels)
    assert set(scores) == set(ours.retrieved.scores) == set(METRICS)
    for name, terms in ours.retrieved.scores.items():
        assert terms.shape == labels.shape and terms.mean().item() == scores[name]
    distances = torch.cdist(embeddings, embeddings).fill_diagonal_(torch.inf)
    assert torch.equal(ours.retrieved.neighbors, distances.argsort(dim=1)[:, :19])


def test_a_query_with_nothing_to_find_counts_for_nothing() -> None:
    query, query_labels = torch.eye(3), torch.tensor([4, 9, 4])
    gallery, gallery_labels = torch.eye(3)[[0, 2, 1]], torch.tensor([4, 4, 7])
    ours = RetrievalAccuracy(CPU)
    scores = ours.get_accuracy(query, query_labels, gallery, gallery_labels)
    assert scores["precision_at_1"] == 1.0
    assert ours.retrieved.scores["precision_at_1"].isnan().tolist() == [False, True, False]


def test_recall_counts_queries_with_a_hit_among_the_first_k() -> None:
    # on a line: each of the last five is nearest to another of them, the first two find each other last of six
    embeddings = torch.tensor([0.0, 10.0, 1.0, 1.9, 2.7, 3.4, 4.0])[:, None]
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 1])
    scores = RetrievalAccuracy(CPU).get_accuracy(embeddings, labels)
    assert [scores[f"recall_at_{k}"] for k in (1, 2, 4, 8)] == [5 / 7, 5 / 7, 5 / 7, 1.0]


def test_recall_at_one_is_precision_at_one_and_recall_grows() -> None:
    embeddings, labels = random_embeddings([5] * 20)
    scores = RetrievalAccuracy(CPU).get_accuracy(embeddings, labels)
    assert scores["recall_at_1"] == scores["precision_at_1"]
    assert scores["recall_at_1"] < scores["recall_at_2"] < scores["recall_at_4"] < scores["recall_at_8"]


@pytest.mark.parametrize("with_gallery", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_the_rank_of_the_first_match_is_that_in_a_list_of_all(
    with_gallery: bool, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_match, "AT_ONCE", 3000)  # so that there are several parts
    embeddings, labels = random_embeddings([2] * 100, tied)
    arguments = (embeddings, labels)
    if with_gallery:
        arguments = (*arguments, *random_embeddings([1] * 100, tied))
    recalls = (1, 2, 10, 50, 80, 95, 150)
    listed = RetrievalAccuracy(CPU, recall_at=recalls)
    monkeypatch.setattr(accuracy, "LISTED", 200)
    expected = listed.get_accuracy(*arguments)
    monkeypatch.setattr(accuracy, "LISTED", 2)
    counted = RetrievalAccuracy(CPU, recall_at=recalls)
    assert counted.get_accuracy(*arguments) == expected
    assert counted.retrieved.neighbors.shape[1] == 2 and listed.retrieved.neighbors.shape[1] > 90
    assert expected["recall_at_2"] < expected["recall_at_10"] < expected["recall_at_80"] < 1


def test_a_long_list_of_recalls_leaves_the_other_scores_alone() -> None:
    embeddings, labels = random_embeddings([5] * 20)
    default, long = (RetrievalAccuracy(CPU, recall_at=recalls) for recalls in ((1, 2, 4, 8), (1, 10, 100, 1000)))
    few, many = default.get_accuracy(embeddings, labels), long.get_accuracy(embeddings, labels)
    assert {name: few[name] for name in ALWAYS} == {name: many[name] for name in ALWAYS}
    assert many["recall_at_1000"] == 1.0 and set(many) == {*ALWAYS, *(f"recall_at_{k}" for k in (10, 100, 1000))}


def test_memory_grows_with_the_images_and_with_nothing_else() -> None:
    def peak(images: int, classes: int) -> int:
        embeddings, labels = torch.randn(images, 8), torch.arange(images) % classes

        def build(device: str) -> Callable[[], object]:
            calculator = RetrievalAccuracy(torch.device(device), ExactNeighbors(side=512))
            return partial(calculator.get_accuracy, embeddings.to(device), labels.to(device))

        return count(build).peak_bytes

    few, many = peak(1000, 200), peak(2000, 1000)
    assert many - few < 1000 * 8 * 8 * 6  # neighbours, distances, scores and such: 8 of each an image


@pytest.mark.parametrize("search", [ExactNeighbors(side=64), FaissNeighbors()], ids=["exact", "faiss"])
@pytest.mark.parametrize("with_gallery", [False, True])
def test_a_part_of_the_queries_at_a_time_gives_the_numbers_of_all(
    search: Neighbors, with_gallery: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tied = isinstance(search, ExactNeighbors)
    arguments: tuple[Tensor, ...] = random_embeddings([97, 60, 41, 1, 9], tied)
    if with_gallery:
        arguments = (*arguments, *random_embeddings([50, 33, 70, 5], tied))
    whole, parts = (RetrievalAccuracy(CPU, search, recall_at=(1, 8, 120)) for _ in range(2))
    expected = whole.get_accuracy(*arguments)
    monkeypatch.setattr(accuracy, "HELD", 97 * 30)  # 30 queries of 208
    assert parts.get_accuracy(*arguments) == expected
    for name, terms in whole.retrieved.scores.items():
        torch.testing.assert_close(parts.retrieved.scores[name], terms, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(parts.retrieved.neighbors, whole.retrieved.neighbors[:, : accuracy.KEPT])


def test_no_more_neighbours_are_listed_at_a_time_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []

    class Recording(ExactNeighbors):
        def among(self, query: Tensor, k: int, reference: Tensor, first: int | None) -> tuple[Tensor, Tensor]:
            listed.append(len(query) * k)
            return super().among(query, k, reference, first)

    embeddings, labels = random_embeddings([50, 33, 70, 5])
    monkeypatch.setattr(accuracy, "HELD", 4000)
    RetrievalAccuracy(CPU, Recording(side=64)).get_accuracy(embeddings, labels)
    assert max(listed) <= 4000 and sum(listed) == 158 * 69


def test_relevant_counts_leave_the_query_out_only_where_it_is_searched() -> None:
    labels = torch.tensor([5, 3, 5, 9])
    assert relevant_counts(labels, labels, ref_includes_query=True).tolist() == [1, 0, 1, 0]
    assert relevant_counts(torch.tensor([9, 7, 5]), labels, ref_includes_query=False).tolist() == [1, 0, 2]


def test_what_does_not_belong_together_is_refused() -> None:
    embeddings, labels = random_embeddings([4] * 3)
    with pytest.raises(ValueError, match="query has 12 embeddings, but 11 labels"):
        RetrievalAccuracy(CPU).get_accuracy(embeddings, labels[1:])
    with pytest.raises(ValueError, match="reference must begin with the queries"):
        RetrievalAccuracy(CPU).get_accuracy(embeddings[:5], labels[:5], embeddings.flip(0), labels.flip(0), True)
