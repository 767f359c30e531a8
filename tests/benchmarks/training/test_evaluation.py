from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.training.evaluation import Evaluation, ScoringRules


class Points(Dataset):
    """Two numbers an image; the models below pass them on."""

    def __init__(self, points: Tensor, labels: list[int]) -> None:
        self.points = points
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.points)

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        return self.points[rows], self.labels[rows]

    def ahead(self, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(loader)


def angles(*degrees: float) -> Tensor:
    turned = torch.tensor(degrees).deg2rad()
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def models(scale: float = 1.0) -> dict[str, nn.Module]:
    embedder = nn.Linear(2, 2, bias=False)
    embedder.weight.data = torch.diag(torch.tensor([1.0, scale]))
    return {"trunk": nn.Identity(), "embedder": embedder}


def evaluation(
    scoring: str, keep_embeddings: bool = False, gallery: Points | None = None, validated: bool = True
) -> Evaluation:
    images = {
        "val": Points(angles(0, 10, 90, 80), [0, 0, 1, 1]),
        "test": Points(angles(0, 30, 40, 90), [2, 2, 3, 3]),
    }
    if not validated:
        del images["val"]
    if gallery is not None:
        images["gallery"] = gallery
    rules = ScoringRules(scoring, keep_embeddings, shown=torch.tensor([0, 2]))
    return Evaluation(images, rules, torch.device("cpu"), "float32", lambda tester: None, log_test=epochs.append)


epochs: list[int] = []  # at which the test set was looked at


@pytest.fixture(autouse=True)
def _nothing_logged() -> None:
    epochs.clear()


def test_never_leaves_the_test_set_alone() -> None:
    scored = evaluation("never")
    scored(0, 0, None, models())
    assert epochs == [] and scored.test_scorings() == 0
    assert scored.history[0]["test"] is None and scored.best == {}


def test_once_scores_the_weights_that_validation_chose() -> None:
    scored = evaluation("once", keep_embeddings=True)
    good, bad = models(), models(scale=0.0)  # which puts 80, 90 degrees where 0, 10 are
    scored(0, 0, None, good)
    scored(1, 5, 0.1, bad)
    assert epochs == [] and [entry["test"] for entry in scored.history] == [None, None]
    scored.score_chosen(bad)
    assert epochs == [0] and scored.test_scorings() == 1
    assert torch.equal(bad["embedder"].weight, good["embedder"].weight)
    assert scored.final == {**scored.final, "precision_at_1": 0.5}  # 30 is next to 40, of the other class
    assert scored.best["precision_at_1"].tolist() == [1.0, 0.0, 0.0, 1.0]
    torch.testing.assert_close(scored.best["embeddings"], angles(0, 30, 40, 90))


def test_every_time_gives_the_same_scores_as_once_at_the_chosen_epoch() -> None:
    once, every = evaluation("once"), evaluation("every")
    for scored in (once, every):
        scored(0, 0, None, models())
        scored(1, 5, 0.1, models(scale=0.0))
    once.score_chosen(models())
    assert every.history[0]["test"] == once.final
    assert every.test_scorings() == 2
    assert once.best.keys() == every.best.keys()
    assert all(torch.equal(once.best[name], every.best[name]) for name in once.best)


def test_queries_search_the_gallery_where_there_is_one() -> None:
    gallery = Points(angles(1, 32, 60, 170), [3, 2, 2, 3])
    scored = evaluation("every", keep_embeddings=True, gallery=gallery)
    scored(0, 0, None, models())
    # 0 finds 1, 30 and 40 find 32, 90 finds 60
    assert scored.best["precision_at_1"].tolist() == [0.0, 1.0, 0.0, 0.0]
    # R = 2: the two nearest to 0 are 1 and 32 (wrong, right), to 30 they are 32 and 1 (right, wrong)
    np.testing.assert_allclose(scored.best["mean_average_precision_at_r"], [0.25, 0.5, 0.0, 0.0])
    assert scored.history[0]["test"]["precision_at_1"] == 0.25
    assert scored.history[0]["test"]["mean_average_precision_at_r"] == pytest.approx(0.1875)
    assert scored.best["neighbors"].tolist() == [[0, 1, 2, 3], [1, 2, 0, 3]]
    torch.testing.assert_close(scored.best["gallery_embeddings"], angles(1, 32, 60, 170))


def test_its_state_holds_the_chosen_weights_as_they_were() -> None:
    scored, current = evaluation("once"), models()
    scored(0, 0, None, current)
    state = scored.state_dict()
    current["embedder"].weight.data.zero_()
    resumed = evaluation("once")
    resumed.load_state_dict(state)
    resumed.score_chosen(current)
    assert torch.equal(current["embedder"].weight, models()["embedder"].weight)


def test_without_validation_the_last_weights_count_and_not_the_best_on_test() -> None:
    every, once = (evaluation(scoring, keep_embeddings=True, validated=False) for scoring in ("every", "once"))
    good, bad = models(), models(scale=0.0)
    for scored in (every, once):
        scored(0, 0, None, good)
        scored(1, 5, 0.1, bad)
    assert epochs == [0, 1]
    once.score_chosen(good)
    assert epochs == [0, 1, 1] and once.test_scorings() == 1 and every.test_scorings() == 2
    assert [entry["val"] for entry in every.history] == [None, None]
    assert every.history[0]["test"]["precision_at_1"] == 0.5 and every.history[1]["test"] == once.final
    assert torch.equal(good["embedder"].weight, bad["embedder"].weight)
    for scored in (every, once):  # 0, 30 and 40 degrees flattened
        torch.testing.assert_close(scored.best["embeddings"][:3], torch.tensor([[1.0, 0.0]] * 3))
