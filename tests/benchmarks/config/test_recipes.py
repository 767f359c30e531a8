import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.config.compose import RunConfig, compose, options_of
from benchmarks.training.build import build, make_trainer
from benchmarks.training.trainer import Trainer

DOCUMENT = Path(__file__).parents[3] / "docs" / "recipes.md"
RECIPES = options_of("recipe")
CLASSES = {"cub": 100, "cars196": 98, "sop": 11318, "inshop": 3997}  # of the training half


@cache
def config_of(recipe: str, *overrides: str) -> RunConfig:
    """With random weights where the trunk could have pretrained ones, since no file of them is here."""
    config = compose([f"recipe={recipe}", *overrides])[0]
    if "weights" in config.trunk.network:
        config.trunk.network["weights"] = None
    return config


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_can_be_built_and_has_a_protocol_of_its_own(recipe: str) -> None:
    config = config_of(recipe)
    name = config.protocol.name
    assert name == recipe or (recipe.startswith("mlrc/") and name.startswith("reality_check"))
    with torch.device("meta"):
        parts = build(config, CLASSES[config.data.name], channels=3, device=torch.device("meta"))
    assert set(parts.optimizers) >= {"trunk_optimizer", "embedder_optimizer"}
    assert len(parts.lr_schedulers) == (0 if config.protocol.lr_scheduler is None else len(parts.optimizers))


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if not recipe.startswith("mlrc/")])
def test_a_published_training_has_no_validation_unless_it_is_asked_for(recipe: str) -> None:
    protocol = config_of(recipe).protocol
    assert (protocol.num_folds, protocol.patience, protocol.test_scoring) == (1, None, "every")
    assert config_of(recipe, "protocol.num_folds=4").protocol == replace(protocol, num_folds=4)


def test_the_document_names_exactly_the_recipes_that_there_are() -> None:
    named = re.findall(r"`recipe=([a-z0-9_/]+)`", DOCUMENT.read_text())
    assert sorted(set(named)) == RECIPES


@pytest.mark.parametrize("recipe", ["iaa/sop_ms", "ee/cars196_ee_hphn", "ps/cars196_ps_proxy_nca", "idml/cub"])
def test_a_recipe_without_its_method_is_the_baseline_loss_trained_alike(recipe: str) -> None:
    wrapped, baseline = config_of(recipe), config_of(recipe, "method=none")
    assert baseline.method == compose(["method=none"])[0].method
    assert (baseline.loss, baseline.protocol, baseline.trunk) == (wrapped.loss, wrapped.protocol, wrapped.trunk)


def test_the_command_line_outdoes_a_recipe() -> None:
    config = config_of("idml/cub", "data=glyphs", "trunk=googlenet", "loss.proxy_lr=0.5", "protocol.epochs=7")
    assert (config.data.name, config.trunk.name, config.loss.proxy_lr) == ("glyphs", "googlenet", 0.5)
    assert config.protocol.epochs == 7 and config.protocol.warmup_epochs == 5
    assert config.trunk.network["pooling"] == "avg+max"  # what a recipe says of a trunk holds for another one too


def test_reality_check_is_the_published_protocol() -> None:
    protocols = {
        data: config_of(f"mlrc/{data}_contrastive").protocol for data in ("cub", "cars196", "sop")
    }  # fmt: skip
    assert {data: (p.evaluate_every, p.patience) for data, p in protocols.items()} == {
        "cub": (2, 9), "cars196": (5, 14), "sop": (20, 39),
    }  # fmt: skip
    for p in protocols.values():
        assert (p.num_folds, p.batch_size, p.iterations_per_epoch, p.epochs, p.embedding_size) == (
            4,
            32,
            100,
            1000,
            128,
        )
        assert p.train_images["size"] == p.eval_images["size"] == 227
        assert (p.train_images["scale"], p.train_images["ratio"]) == ([0.16, 1.0], [0.75, 1.33])
        optimizer = {"_target_": "torch.optim.RMSprop", "lr": 1e-6, "momentum": 0.9, "weight_decay": 1e-4}
        assert p.optimizer == optimizer and p.embedder_lr is None and p.lr_scheduler is None
        assert p.freeze_batchnorm and p.test_scoring == "once" and p.keep_embeddings


def test_the_trainer_gets_what_a_recipe_says_of_the_trunk_and_the_gradients() -> None:
    seen: dict[str, Any] = {}

    class Listening(Trainer):
        def __init__(self, **arguments: object) -> None:
            seen.update(arguments)

    models = {"trunk": torch.nn.Linear(2, 2)}
    config = config_of("proxy_anchor/cub_resnet50")
    make_trainer(config, Listening, models=models, loss_funcs={"metric_loss": torch.nn.Identity()})
    assert seen["freeze_trunk_batchnorm"] is True and seen["warmup_epochs"] == 5
    assert list(seen["gradient_clippers"]) == ["trunk_grad_clipper"]


@pytest.mark.parametrize(
    "recipe",
    ["iaa/sop_contrastive", "iaa/cub_ms", "ee/cars196_ee_hphn", "ps/cars196_ps_norm_softmax", "ps/cars196_ps_proxy_nca",
     "idml/cub", "mdr/cub_triplet_mdr", "mlrc/cub_cosface", "mlrc/cub_nt_xent"],
)  # fmt: skip
def test_a_recipes_loss_moves_every_part_that_learns(recipe: str) -> None:
    config = config_of(recipe)
    small = replace(config.trunk, network={"_target_": "benchmarks.trunks.SmallCNN", "widths": [8]})
    classes = 6
    parts = build(replace(config, trunk=small), classes, channels=3, device=torch.device("cpu"))
    loss = parts.loss_funcs["metric_loss"]
    images, labels = torch.randn(24, 3, 8, 8), torch.arange(classes).repeat_interleave(4)
    embeddings = parts.models["embedder"].train()(parts.models["trunk"](images))
    if config.method.name == "iaa":
        loss.refresh(embeddings.detach(), labels)
    miner = parts.mining_funcs.get("tuple_miner")
    value = loss(embeddings, labels) if miner is None else loss(embeddings, labels, miner(embeddings, labels))
    value.backward()
    assert value.isfinite() and value > 0
    weights = [weight for part in (*parts.models.values(), loss) for weight in part.parameters()]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights)
