from pathlib import Path

import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import FaissKMeans

from benchmarks.config.compose import compose
from benchmarks.report.write import write_report
from benchmarks.runs.reader import read_run
from benchmarks.training.clusters import cluster_agreement
from benchmarks.training.train import train


def blobs(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(15).repeat_interleave(8)
    return torch.nn.functional.normalize(torch.randn(15, 6)[labels] + spread * torch.randn(120, 6)), labels


def test_the_agreement_is_pmls_with_a_seed() -> None:
    embeddings, labels = blobs(0.5)
    search = FaissKMeans(niter=20, seed=3, min_points_per_centroid=1)
    pml = AccuracyCalculator(include=("NMI", "AMI"), device=torch.device("cpu"), kmeans_func=search)
    expected = pml.get_accuracy(embeddings, labels)
    assert cluster_agreement(embeddings, labels, seed=3) == {"nmi": expected["NMI"], "ami": expected["AMI"]}


def test_the_seed_decides_the_clusters_and_chance_agrees_by_nothing() -> None:
    embeddings, labels = blobs(1.5)
    assert cluster_agreement(embeddings, labels) == cluster_agreement(embeddings, labels)
    assert cluster_agreement(embeddings, labels) != cluster_agreement(embeddings, labels, seed=1)
    shuffled = cluster_agreement(embeddings, labels[torch.randperm(120)])
    assert abs(shuffled["ami"]) < 0.1 < shuffled["nmi"]


@pytest.mark.parametrize(("data", "ranks"), [("cub", (1, 2, 4, 8, 16, 32)), ("inshop", (1, 10, 20, 30, 40, 50))])
def test_a_published_set_is_scored_at_the_ranks_of_its_papers(
    request: pytest.FixtureRequest, tmp_path: Path, data: str, ranks: tuple[int, ...]
) -> None:
    words = [
        f"data={data}", f"data.path={request.getfixturevalue(data)}", "data.verify=false", f"data.cache={tmp_path}",
        "data.image_size=16", "data.resize=square", "data.twins_allowed=1", "data.identical_allowed=1",
        "protocol.num_folds=1", "loss=raw", "trunk.network.widths=[2]", f"runs={tmp_path}", "device=cpu", "quiet=true",
    ]  # fmt: skip
    test = read_run(train(*compose(words))).selected().test
    assert [name for name in test if name.startswith("recall")] == [f"recall_at_{k}" for k in ranks]
    assert test["recall_at_1"] == test["precision_at_1"]


TINY = [
    "data=glyphs_lite0", "data.num_classes=40", "protocol.epochs=1", "protocol.iterations_per_epoch=3",
    "loss=contrastive", "protocol.batch_size=32", "device=cpu", "quiet=true",
]  # fmt: skip


@pytest.mark.parametrize("scoring", ["every", "once"])
def test_clustering_is_an_option_that_changes_no_other_score_nor_the_name_without_it(
    tmp_path: Path, scoring: str
) -> None:
    words = [*TINY, f"protocol.test_scoring={scoring}", f"runs={tmp_path}"]
    plain, clustered = (read_run(train(*compose([*words, *more]))) for more in ([], ["protocol.clustering=true"]))
    assert "clustering" not in plain.config["protocol"] and clustered.config["protocol"]["clustering"]
    with_clusters = clustered.selected().test
    assert {**plain.selected().test, "nmi": with_clusters["nmi"], "ami": with_clusters["ami"]} == with_clusters
    assert 0 < with_clusters["ami"] < with_clusters["nmi"] < 1
    assert all(plain.history[i].val == clustered.history[i].val for i in range(2))
    out = tmp_path / "report"
    write_report(tmp_path, out, names=[clustered.name])
    assert "NMI | AMI |" in (out / "report.md").read_text()
    assert ",nmi,ami," in (out / "results.csv").read_text().splitlines()[0]


def test_features_as_they_are_can_be_clustered_too(tmp_path: Path) -> None:
    words = [*TINY[:2], "loss=raw", "device=cpu", "quiet=true", f"runs={tmp_path}"]
    runs = [read_run(train(*compose([*words, *more]))) for more in ([], ["protocol.clustering=true"])]
    assert runs[0].name != runs[1].name
    assert "nmi" not in runs[0].selected().test and 0 < runs[1].selected().test["nmi"] < 1
