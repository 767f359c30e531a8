"""Every loss x method of configs/ under every protocol's batches: refused, or with an effect."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from benchmarks.config.compose import RunConfig, compose, options_of
from benchmarks.config.parts import RAW
from benchmarks.errors import UserError
from benchmarks.training.build import build
from benchmarks.training.check import check
from pml_aug.wrappers import BatchAndMemory
from pml_aug.wrappers.base import LossWrapper

LOSSES = [loss for loss in options_of("loss") if loss not in ("pml", *RAW)]  # pml needs a class: test_any_pml_loss.py
METHODS = options_of("method")
TINY = ["trunk.network.widths=[2]", "protocol.embedding_size=16"]
CPU = torch.device("cpu")


@cache
def composed(part: str) -> RunConfig:
    return compose([part, *TINY])[0]


@cache
def pair(loss: str, method: str) -> RunConfig:
    """As composed together, which takes longer."""
    return replace(composed(f"loss={loss}"), method=composed(f"method={method}").method)


@cache
def batches_of(protocol: str) -> int:
    return compose([f"protocol={protocol}"])[0].protocol.batch_size


def refusal(config: RunConfig) -> str | None:
    try:
        check(config)
    except UserError as error:
        return str(error)
    return None


@cache
def is_accepted(loss: str, method: str) -> bool:
    return refusal(pair(loss, method)) is None


def value_of(config: RunConfig, labels: torch.Tensor) -> torch.Tensor:
    """The first loss of a training, at a fixed draw of features; the statistics of IAA are those of random rows."""
    parts = build(config, num_classes=int(labels.max()) + 1, channels=1, device=CPU)
    loss, miner = parts.loss_funcs["metric_loss"], parts.mining_funcs.get("tuple_miner")
    torch.manual_seed(1)
    embeddings = parts.models["embedder"](torch.randn(len(labels), parts.models["trunk"].out_features))
    for part in loss.modules():
        if isinstance(part, LossWrapper | BatchAndMemory):
            part.prepare(torch.randn(2 * len(labels), embeddings.shape[1]), labels.repeat(2))
    torch.manual_seed(2)
    return loss(embeddings, labels, None if miner is None else miner(embeddings, labels)).detach()


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_each_method_is_refused_or_changes_the_loss(loss: str) -> None:
    baseline = pair(loss, "none")
    assert refusal(baseline) is None
    labels = torch.arange(32) // (baseline.loss.images_per_class or 1)
    plain = value_of(baseline, labels)
    assert plain > 0
    for method in METHODS:
        config = pair(loss, method)
        if method == "das_duplicates":  # of a loss that is a mean over rows, the mean over copies too is the same
            continue
        if is_accepted(loss, method) and config.method.wrapper is not None:
            assert value_of(config, labels) != plain, method


def test_a_pair_is_what_its_parts_are() -> None:
    assert pair("triplet", "iaa") == compose(["loss=triplet", "method=iaa", *TINY])[0]


PROTOCOLS = {size: protocol for protocol in options_of("protocol") for size in [batches_of(protocol)]}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS.values())
@pytest.mark.parametrize("loss", ["multi_similarity", "triplet", "normalized_softmax", "proxy_anchor"])
def test_what_acts_under_one_protocol_acts_under_all(loss: str, protocol: str) -> None:
    """Protocols differ to a method by the size of their batches alone."""
    for method in METHODS:
        plain = pair(loss, method)
        other = replace(plain, protocol=replace(plain.protocol, batch_size=batches_of(protocol)))
        assert (refusal(other) is None) == is_accepted(loss, method)


@pytest.mark.parametrize("loss", ["proxy_anchor", "normalized_softmax"])
def test_expansion_with_one_image_per_class_is_refused(loss: str) -> None:
    said = refusal(compose([f"loss={loss}", "method=ee", *TINY])[0])
    assert said is not None and "EmbeddingExpansion makes no synthetic points" in said
    assert refusal(compose([f"loss={loss}", "method=ee", *TINY, "loss.images_per_class=4"])[0]) is None


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["loss=triplet", "method=ee", "method.wrapper.num_points=0"], "EmbeddingExpansion makes no synthetic points"),
        (["loss=proxy_anchor", "method=ps", "method.wrapper.ratio=0"], "ProxySynthesis makes no synthetic points"),
        (["method=iaa", "method.outer_wrapper.strength=0"], "unknown key"),
        (["method=iaa", "method.wrapper.strength=0"], "IntraClassAdaptiveAugmentation makes no synthetic points"),
        (["method=iaa", "method.wrapper.num_copies=0"], "IntraClassAdaptiveAugmentation makes no synthetic points"),
        (["method=iaa", "protocol.epochs=1"], "must be at least 2, the first epoch with copies"),
        (["loss=triplet", "loss.images_per_class=1"], "no two of a batch are of one class"),
        (["loss=proxy_anchor", "loss.proxy_lr=0"], "loss.proxy_lr must be above 0"),
        (["protocol.optimizer.lr=0"], "protocol.optimizer.lr must be above 0"),
    ],
)
def test_what_is_certain_to_have_no_effect_is_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(compose([*TINY, *overrides])[0])


def test_where_batches_are_random_a_method_is_left_to_the_records_of_its_run() -> None:
    assert refusal(compose(["loss=proxy_anchor", "method=ee", "loss.images_per_class=null", *TINY])[0]) is None
