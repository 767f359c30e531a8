"""The published recipes of classifiers, and what their documents say of them."""

from pathlib import Path

import pytest
import torch

from benchmarks.config.classification import CLASSIFY, compose_classification
from benchmarks.config.compose import options_of
from benchmarks.errors import UserError
from benchmarks.training.build import make_trunk

DOCUMENT = (Path(__file__).parents[3] / "docs" / "classification.md").read_text()
DATA, MIXES = ("cifar10", "cifar100", "imagenet"), ("none", "mixup", "cutmix")


def test_every_row_of_the_source_has_a_recipe() -> None:
    expected = {f"idml/{data}{'' if mix == 'none' else f'_{mix}'}" for data in DATA for mix in MIXES}
    assert set(options_of(CLASSIFY.directory("recipe"))) == expected


@pytest.mark.parametrize("data", DATA)
def test_a_recipe_and_its_baseline_differ_in_the_loss_alone(data: str) -> None:
    method, baseline = (
        compose_classification([f"recipe=idml/{data}_cutmix", *words])[0].identity() for words in ([], ["loss=softmax"])
    )
    assert method["data"]["kind"] == data and method["mix"]["operator"] == "cutmix"
    assert method["mix"]["probability"] == (1.0 if data == "imagenet" else 0.5)
    assert {key for key in method if method[key] != baseline[key]} == {"loss"}
    assert f"{method['protocol']['epochs']} epochs" in DOCUMENT


def test_the_network_for_cifar_has_the_published_size() -> None:
    config, _ = compose_classification(["recipe=idml/cifar100"])
    with torch.device("meta"):
        trunk = make_trunk(config.trunk, channels=3)
    weights = sum(weight.numel() for weight in trunk.parameters()) + 100 * (trunk.out_features + 1)
    assert round(weights / 1e6, 1) == 26.8  # millions with 100 classes, as in the CutMix paper
    assert sum(isinstance(module, torch.nn.Conv2d) for module in trunk.modules()) == 199


def test_a_key_of_retrieval_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(UserError, match="unknown key 'protocol.embedding_size'"):
        compose_classification(["protocol.embedding_size=3"])
    with pytest.raises(UserError, match="unknown key 'method'"):
        compose_classification(["method=ee"])
