"""``loss=pml``: every loss and miner that PML exports is checked before data are read, and refused or trained."""

from inspect import isclass, isfunction

import pytest
import torch
from pytorch_metric_learning import losses, miners

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.training.build import Parts, build
from benchmarks.training.check import check

PREFIX = "pytorch_metric_learning"
INNER = f"{{_target_: {PREFIX}.losses.ContrastiveLoss}}"
TINY = ["loss=pml", "trunk.network.widths=[2]", "protocol.embedding_size=8", "protocol.batch_size=16"]
GIVEN = {  # arguments without a default
    "CrossBatchMemory": [f"loss.criterion.loss={INNER}", "loss.criterion.memory_size=64"],
    "MultipleLosses": [f"loss.criterion.losses=[{INNER}, {INNER}]"],
    "RankedListLoss": ["loss.criterion.margin=0.4", "loss.criterion.Tn=10"],
}
REFUSED = {  # bases of other losses, and losses that take no labels
    "BaseLossWrapper": "missing .* argument",
    "BaseMetricLossFunction": "cannot be computed: NotImplementedError",
    "GenericPairLoss": "missing .* argument",
    "ManifoldLoss": "missing .* argument",
    "SelfSupervisedLoss": "missing .* argument",
    "EmbeddingRegularizerMixin": "must give a torch.nn.Module",
    "WeightRegularizerMixin": "must give a torch.nn.Module",
    "VICRegLoss": "labels .* not supported",
    "BaseMiner": "cannot be computed: NotImplementedError",
}
LOSSES = sorted(name for name, found in vars(losses).items() if isclass(found))
MINERS = sorted(name for name, found in vars(miners).items() if isclass(found))


def words_of(loss: str) -> list[str]:
    return [*TINY, f"loss.criterion._target_={PREFIX}.losses.{loss}", *GIVEN.get(loss, [])]


def one_step(parts: Parts, images_per_class: int) -> list[torch.Tensor]:
    """The weights of embedder and loss that a step on random features changes."""
    torch.manual_seed(0)
    labels = torch.arange(16) // images_per_class
    loss, miner = parts.loss_funcs["metric_loss"], parts.mining_funcs.get("tuple_miner")
    embeddings = parts.models["embedder"](torch.randn(16, 2))
    value = loss(embeddings, labels, None if miner is None else miner(embeddings, labels))
    assert value > 0
    value.backward()
    weights = [*parts.models["embedder"].parameters(), *loss.parameters()]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights)
    return weights


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_pml_is_trained_or_refused_with_a_sentence(loss: str) -> None:
    config, _ = compose(words_of(loss))
    if loss in REFUSED:
        with pytest.raises(UserError, match=REFUSED[loss]):
            check(config)
        return
    check(config)
    parts = build(config, num_classes=16, channels=1, device=torch.device("cpu"))
    one_step(parts, config.loss.images_per_class or 1)
    # a loss with weights has an optimizer for them, and batches that suit it
    has_weights = any(True for _ in parts.loss_funcs["metric_loss"].parameters())
    assert ("metric_loss_optimizer" in parts.optimizers) == has_weights
    assert config.loss.images_per_class == (1 if has_weights else 4)


@pytest.mark.parametrize("miner", MINERS)
def test_every_miner_of_pml_is_used_or_refused_with_a_sentence(miner: str) -> None:
    loss = "AngularLoss" if miner == "EmbeddingsAlreadyPackagedAsTriplets" else "TripletMarginLoss"
    config, _ = compose([*words_of(loss), f"loss.miner._target_={PREFIX}.miners.{miner}"])
    if miner == "EmbeddingsAlreadyPackagedAsTriplets":  # batches of our samplers are no triplets
        with pytest.raises(UserError, match="cannot be computed"):
            check(config)
    elif miner in REFUSED:
        with pytest.raises(UserError, match=REFUSED[miner]):
            check(config)
    else:
        check(config)
        parts = build(config, num_classes=16, channels=1, device=torch.device("cpu"))
        assert type(parts.mining_funcs["tuple_miner"]).__name__ == miner


def test_arguments_of_loss_and_miner_reach_them_and_wrong_ones_are_refused_by_name() -> None:
    words = [*words_of("CircleLoss"), "loss.criterion.m=0.3", f"loss.miner._target_={PREFIX}.miners.PairMarginMiner"]
    config, _ = compose([*words, "loss.miner.pos_margin=0.1"])
    parts = build(config, num_classes=16, channels=1, device=torch.device("cpu"))
    assert parts.loss_funcs["metric_loss"].m == 0.3 and parts.mining_funcs["tuple_miner"].pos_margin == 0.1
    assert config.loss.name == "pml-CircleLoss-PairMarginMiner"
    with pytest.raises(UserError, match="unexpected keyword argument 'margins' .with margins=1"):
        check(compose([*words_of("TripletMarginLoss"), "loss.criterion.margins=1"])[0])


def test_given_values_win_over_those_that_suit_the_class() -> None:
    words = words_of("ArcFaceLoss")
    assert compose([*words, "loss.images_per_class=2"])[0].loss.images_per_class == 2
    assert compose([*words, "loss.proxy_lr=0.1"])[0].loss.proxy_lr == 0.1
    learnt = compose([*words_of("MarginLoss"), "loss.criterion.learn_beta=true"])[0]
    assert (learnt.loss.images_per_class, learnt.loss.proxy_lr) == (4, 0.001)
    check(learnt)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "loss=pml needs a class: set loss.criterion._target_"),
        (["loss.criterion._target_=torch.nn.MSELoss"], "loss.images_per_class is not known for torch.nn.MSELoss"),
        (["loss.criterion._target_=pytorch_metric_learning.losses.NoLoss"], "NoLoss does not exist"),
        (["loss.criterion._target_=os.system"], "not known for os.system"),
    ],
)
def test_what_is_no_loss_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(compose([*TINY, *words])[0])


def test_nothing_but_classes_is_exported() -> None:
    """Otherwise the lists above would miss it."""
    assert not [name for name, found in {**vars(losses), **vars(miners)}.items() if isfunction(found)]
