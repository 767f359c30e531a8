from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.runs.arrays import read_arrays
from benchmarks.runs.reader import read_run
from benchmarks.runs.schema import QUERIES, UNCERTAINTY
from benchmarks.training.corruptions import KINDS, LEVELS
from benchmarks.training.train import train
from benchmarks.training.uncertainty import _of_features, nearest_other, uncertainty_arrays
from pml_aug.heads import IntrospectiveHead

TINY = [
    "protocol.epochs=1", "protocol.iterations_per_epoch=3", "loss=proxy_anchor", "protocol.batch_size=8",
    "protocol.uncertainty=true", "device=cpu", "quiet=true",
]  # fmt: skip
IMAGES = ["data=glyphs", "data.image_size=16", "data.num_classes=40", "protocol=quickstart", "trunk=small_cnn"]
FEATURES = ["data=glyphs_lite0", "data.num_classes=40"]
SCORES = ("distance", "length", "uncertainty")


def arrays_of(path: Path, keys: tuple[str, ...] = SCORES) -> dict[str, np.ndarray]:
    return read_arrays(path, UNCERTAINTY, ("labels", "kinds", "levels", "right", *keys))


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["every", "once"])
def test_a_run_on_images_measures_its_queries_clean_and_corrupted(tmp_path: Path, scoring: str) -> None:
    words = [*IMAGES, *TINY, f"protocol.test_scoring={scoring}", "method=idml", f"runs={tmp_path}"]
    run = read_run(train(*compose(words)))
    found, queries = arrays_of(run.path), read_arrays(run.path, QUERIES, ("labels", "precision_at_1"))
    counted = np.isfinite(queries["precision_at_1"])
    assert found["kinds"].tolist() == [b"clean", *(kind.encode() for kind in KINDS for _ in LEVELS)]
    assert found["levels"].tolist() == [0, *LEVELS * 3]
    assert np.array_equal(found["labels"], queries["labels"][counted])
    assert np.array_equal(found["right"][0], queries["precision_at_1"][counted] == 1)
    for name in SCORES:
        assert found[name].shape == (16, len(found["labels"])) and (found[name] > 0).all()
    assert found["uncertainty"].max() < 1 and found["length"].std() > 0
    assert found["right"][5].mean() < found["right"][0].mean()  # the strongest blur


def test_on_features_or_without_an_uncertainty_there_is_what_can_be_measured(tmp_path: Path) -> None:
    for method, keys in (("idml_no_mixup", SCORES), ("none", SCORES[:2])):
        words = [*FEATURES, *TINY, f"method={method}", f"runs={tmp_path}"]
        found = arrays_of(train(*compose(words)), keys)
        assert found["kinds"].tolist() == [b"clean"] and found["right"].shape[0] == 1
    with pytest.raises(UserError, match="no array uncertainty"):
        arrays_of(train(*compose(words)))


def test_the_key_changes_the_name_of_a_run_only_where_it_is_on() -> None:
    words = [*FEATURES, *TINY[:4]]
    plain, measuring = (compose([*words, *more])[0].identity()["protocol"] for more in ([], [TINY[4]]))
    assert "uncertainty" not in plain and measuring == {**plain, "uncertainty": True}
    with pytest.raises(UserError, match="protocol.uncertainty is of the test images"):
        compose([*words, TINY[4], "protocol.test_scoring=never"])


class Rows:
    """Rows and labels, as the stores hand them out."""

    def __init__(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        self.rows, self.labels = rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.rows[positions], self.labels[positions]


def test_queries_search_the_gallery_and_those_without_an_image_of_their_class_are_left_out() -> None:
    models = {"trunk": nn.Identity(), "embedder": nn.Identity().train()}
    test = Rows(torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.1], [-1.0, 0.0]]), torch.tensor([0, 1, 2, 5]))
    gallery = Rows(torch.tensor([[0.0, 2.0], [2.0, 0.0], [0.0, -1.0]]), torch.tensor([1, 0, 2]))
    found = uncertainty_arrays(models, {"test": test, "gallery": gallery}, "float32", torch.device("cpu"))
    assert found["labels"].tolist() == [0, 1, 2] and found["right"].tolist() == [[True, True, False]]
    np.testing.assert_allclose(found["distance"][0, :2], 0, atol=1e-6)
    np.testing.assert_allclose(found["length"][0], [3, 1, 1.01**0.5], rtol=1e-6)
    assert models["embedder"].training
    alone = uncertainty_arrays(
        models, {"test": Rows(gallery.rows, torch.tensor([1, 1, 0]))}, "float32", test.rows.device
    )
    assert alone["labels"].tolist() == [1, 1] and alone["right"].tolist() == [[True, True]]


def test_the_nearest_other_row_is_that_of_all_distances() -> None:
    rows, others = torch.randn(40, 3), torch.randn(50, 3)
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    distance, place = nearest_other(rows, rows, torch.arange(40))
    assert torch.equal(place, distances.argmin(dim=1))
    torch.testing.assert_close(distance, distances.amin(dim=1))
    assert torch.equal(nearest_other(rows, others, None)[1], torch.cdist(rows, others).argmin(dim=1))


def test_the_length_is_that_before_the_head_normalises() -> None:
    head, features = IntrospectiveHead(5, 4).eval(), torch.randn(3, 5)
    found = _of_features(nn.Sequential(nn.Identity(), head), features)
    torch.testing.assert_close(found.lengths, head.semantic_layer(features).norm(dim=1))
    torch.testing.assert_close(found.embeddings, head(features))
    torch.testing.assert_close(found.uncertainty, head.uncertainty(features).norm(dim=1))
