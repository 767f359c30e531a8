import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from benchmarks.engine.accuracy import METRICS, PER_QUERY, RetrievalAccuracy, query_scores

CPU = torch.device("cpu")


def random_embeddings(images_per_class: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.repeat_interleave(torch.arange(len(images_per_class)), torch.tensor(images_per_class))
    labels = labels[torch.randperm(len(labels))]
    centres = torch.randn(len(images_per_class), 8)
    return torch.nn.functional.normalize(centres[labels] + torch.randn(len(labels), 8)), labels


@pytest.mark.parametrize("images_per_class", [[2, 2, 3], [12, 5, 20, 3, 7], [4] * 12])
def test_scores_are_pmls_and_their_terms_average_to_them(images_per_class: list[int]) -> None:
    embeddings, labels = random_embeddings(images_per_class)
    pml = AccuracyCalculator(include=PER_QUERY, k="max_bin_count", device=CPU).get_accuracy(embeddings, labels)
    ours = RetrievalAccuracy(device=CPU)
    assert {name: ours.get_accuracy(embeddings, labels)[name] for name in PER_QUERY} == pml

    distances = torch.cdist(embeddings, embeddings).fill_diagonal_(torch.inf)
    neighbors = distances.argsort(dim=1)[:, : max(images_per_class) - 1]
    terms = query_scores(labels[neighbors], labels)
    assert {name: terms[name].mean().item() for name in PER_QUERY} == pytest.approx(pml, abs=1e-12)


def test_recall_counts_queries_with_a_hit_among_the_first_k() -> None:
    # on a line: each of the last five is nearest to another of them, the first two find each other last of six
    embeddings = torch.tensor([0.0, 10.0, 1.0, 1.9, 2.7, 3.4, 4.0])[:, None]
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 1])
    scores = RetrievalAccuracy(device=CPU).get_accuracy(embeddings, labels)
    assert [scores[f"recall_at_{k}"] for k in (1, 2, 4, 8)] == [5 / 7, 5 / 7, 5 / 7, 1.0]


def test_recall_at_one_is_precision_at_one_and_recall_grows() -> None:
    embeddings, labels = random_embeddings([5] * 20)
    scores = RetrievalAccuracy(device=CPU).get_accuracy(embeddings, labels)
    assert set(scores) == set(METRICS)
    assert scores["recall_at_1"] == scores["precision_at_1"]
    assert scores["recall_at_1"] < scores["recall_at_2"] < scores["recall_at_4"] < scores["recall_at_8"]
