import pytest
import torch

from benchmarks.config.compose import compose, options_of
from benchmarks.config.parts import RAW
from benchmarks.errors import UserError
from benchmarks.training.build import build
from benchmarks.training.check import check

CPU = torch.device("cpu")


def parts_of(*overrides: str):
    return build(compose(overrides)[0], num_classes=5, channels=1, device=CPU)


@pytest.mark.parametrize(("loss", "method"), [("multi_similarity", "ee"), ("proxy_anchor", "ps")])
def test_a_method_and_its_baseline_loss_start_from_the_same_weights(loss: str, method: str) -> None:
    baseline, wrapped = parts_of(f"loss={loss}"), parts_of(f"loss={loss}", f"method={method}")
    for name in ("trunk", "embedder"):
        torch.testing.assert_close(
            wrapped.models[name].state_dict(), baseline.models[name].state_dict(), rtol=0, atol=0
        )
    proxies = [list(parts.loss_funcs["metric_loss"].parameters()) for parts in (baseline, wrapped)]
    torch.testing.assert_close(proxies[1], proxies[0], rtol=0, atol=0)


def test_the_head_of_a_method_starts_from_the_linear_ones_weights() -> None:
    baseline, introspective = (parts_of("loss=proxy_anchor", f"method={method}") for method in ("none", "idml"))
    for name, weight in baseline.models["embedder"].state_dict().items():
        assert torch.equal(introspective.models["embedder"].state_dict()[f"semantic_layer.{name}"], weight)
    assert torch.equal(introspective.loss_funcs["metric_loss"].proxies, baseline.loss_funcs["metric_loss"].proxies)


@pytest.mark.parametrize(
    ("loss", "distance", "power"),
    [("multi_similarity", "IntrospectiveSimilarity", 1), ("triplet", "IntrospectiveDistance", 1),
     ("proxy_nca", "IntrospectiveDistance", 2)],
)  # fmt: skip
def test_a_method_s_distance_is_of_the_kind_and_power_of_the_loss_s_own(loss: str, distance: str, power: int) -> None:
    parts = parts_of(f"loss={loss}", "method=idml_no_mixup")
    for module in (*parts.loss_funcs.values(), *parts.mining_funcs.values()):
        assert type(module.distance).__name__ == distance and module.distance.power == power


def test_an_outer_wrapper_goes_around_the_inner_one_which_takes_the_miner() -> None:
    parts = parts_of("loss=multi_similarity", "method=iaa_ee")
    outer = parts.loss_funcs["metric_loss"]
    assert [type(loss).__name__ for loss in (outer, outer.loss, outer.loss.loss)] == [
        "IntraClassAdaptiveAugmentation", "EmbeddingExpansion", "MultiSimilarityLoss",
    ]  # fmt: skip
    assert parts.mining_funcs == {} and outer.miner is None and outer.loss.miner is not None


@pytest.mark.slow
@pytest.mark.parametrize("method", options_of("method"))
def test_every_method_goes_with_some_loss(method: str) -> None:
    def refused(loss: str) -> bool:
        try:
            check(compose([f"loss={loss}", f"method={method}"])[0])
        except UserError:
            return True
        return False

    assert not all(refused(loss) for loss in ("multi_similarity", "proxy_anchor"))


@pytest.mark.slow
def test_all_losses_start_from_the_same_trunk() -> None:
    losses = [loss for loss in options_of("loss") if loss not in ("pml", *RAW)]
    first, *others = [parts_of(f"loss={loss}").models["trunk"].state_dict() for loss in losses]
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=0)


def test_another_seed_gives_other_weights() -> None:
    first, second = (parts_of(f"seed={seed}").models["embedder"].weight for seed in (0, 1))
    assert not torch.equal(first, second)


def test_building_leaves_the_shared_generator_alone() -> None:
    before = torch.get_rng_state()
    parts_of("loss=proxy_anchor", "method=ps")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_baseline_loss_leaves_its_miner_to_the_trainer() -> None:
    assert "tuple_miner" in parts_of("loss=triplet").mining_funcs


def test_a_wrapper_that_takes_a_miner_gets_it_instead_of_the_trainer() -> None:
    parts = parts_of("loss=triplet", "method=ee")
    assert parts.mining_funcs == {}
    assert type(parts.loss_funcs["metric_loss"].miner).__name__ == "BatchHardMiner"


@pytest.mark.parametrize("method", ["none", "ps"])
def test_proxies_have_an_optimizer_with_their_own_learning_rate(method: str) -> None:
    parts = parts_of("loss=proxy_anchor", f"method={method}", "loss.proxy_lr=0.5")
    (group,) = parts.optimizers["metric_loss_optimizer"].param_groups
    assert group["lr"] == 0.5
    assert group["params"][0].shape == (5, 64)


def test_the_embedders_start_is_the_protocols() -> None:
    plain = parts_of().models["embedder"]
    asked = "protocol.embedder={init: {_target_: torch.nn.init.kaiming_normal_, mode: fan_out}, bias: zero}"
    linear = parts_of(asked).models["embedder"]
    assert (linear.bias == 0).all() and (plain.bias != 0).any()
    assert linear.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert parts_of("protocol.embedder.bias=null").models["embedder"].bias is None
    head = parts_of("loss=proxy_anchor", "method=idml", asked).models["embedder"]
    assert torch.equal(head.semantic_layer.weight, linear.weight)


def test_the_head_of_a_method_takes_the_place_of_an_mlps_last_layer() -> None:
    plain, introspective = (
        parts_of("loss=proxy_anchor", f"method={method}", "protocol.embedder={kind: mlp, hidden_size: 7, bias: zero}")
        for method in ("none", "idml")
    )
    *layers, last = plain.models["embedder"]
    *same, head = introspective.models["embedder"]
    features = torch.randn(3, 64)
    assert torch.equal(torch.nn.Sequential(*layers)(features), torch.nn.Sequential(*same)(features))
    assert torch.equal(head.semantic_layer.weight, last.weight) and (last.bias == 0).all()
    assert introspective.models["embedder"](features).shape == (3, 2 * 64)  # semantic and uncertainty


def test_layer_norm_makes_embeddings_blind_to_the_features_scale() -> None:
    embedder = parts_of("protocol.embedder.layer_norm=true").models["embedder"]
    features = torch.randn(3, 64)
    torch.testing.assert_close(embedder(10 * features + 3), embedder(features), rtol=1e-3, atol=1e-3)


def test_each_part_has_its_own_weight_decay() -> None:
    overrides = ["loss=proxy_anchor", "protocol.embedder_weight_decay=0.2", "loss.proxy_weight_decay=0"]
    decays = {name: part.param_groups[0]["weight_decay"] for name, part in parts_of(*overrides).optimizers.items()}
    assert decays == {"trunk_optimizer": 1e-4, "embedder_optimizer": 0.2, "metric_loss_optimizer": 0}


def test_a_trunk_with_a_normalization_gets_as_many_channels_as_that_has() -> None:
    colour = "trunk.normalization={mean: [0, 0, 0], std: [1, 1, 1]}"
    assert next(parts_of(colour).models["trunk"].parameters()).shape[1] == 3


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trunk.freeze=[block]"], "trunk.freeze: unknown layer 'block'; the nearest known one is 'blocks'"),
        (["protocol.embedder.bias=null", "method=idml"], "protocol.embedder.bias must not be null"),
        (
            ["protocol.lr_scheduler={_target_: torch.optim.lr_scheduler.StepLR}"],
            "protocol.lr_scheduler cannot be built",
        ),
        (
            ["loss=multi_similarity", "method=ps"],
            "loss=multi_similarity method=ps cannot be built: .*MultiSimilarityLoss",
        ),
        (["loss=proxy_anchor", "loss.proxy_lr=null"], "would not be trained: set loss.proxy_lr"),
        (["loss=triplet", "loss.proxy_lr=1"], "loss.proxy_lr must be null, not 1.0"),
        (["trunk.network.widths=[]"], "trunk=small_cnn cannot be built: widths must be"),
        (["method=ee", "method.wrapper.num_points=-1"], "method=ee cannot be built: num_points must be"),
        (["method=mixup", "method.trainer.alpha=-1"], "method=mixup cannot be built: alpha must be above 0"),
        (["method=mixup", "method.trainer.alpha=much"], "method=mixup cannot be built: alpha must be a number"),
        (
            ["method=idml", "method.trainer.mixup_combine=foo"],
            "method=idml cannot be built: mixup_combine must be one of",
        ),
        (["method=iaa", "method.hook.baseline_share=2"], "method=iaa cannot be built: baseline_share must be above 0"),
        (["loss.criterion.alpha=null"], "loss=multi_similarity method=none cannot be computed: .*alpha=None"),
        (["loss.criterion.alpha=much"], "loss=multi_similarity method=none cannot be computed: .*alpha=much"),
        (["protocol.optimizer.lr=fast"], "protocol.optimizer cannot be built: .*with lr=fast"),
        (["protocol.train_images.max_shift=1"], "protocol.train_images cannot be built: max_shift must be"),
        (["loss.criterion._target_=torch.nn.NoSuchLoss"], "torch.nn.NoSuchLoss does not exist"),
        (["trunk.network={_target_: torch.nn.ParameterDict.keys}"], "trunk=small_cnn.* cannot be built"),
        (["loss.miner={_target_: torch.nn.Parameter}"], "must give a torch.nn.Module, but gave a Parameter"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_own_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(compose(overrides)[0])


PLAIN = ["trunk.network._target_=torch.nn.Flatten", "data.image_size=12"]


def test_a_network_that_tells_nothing_is_a_trunk() -> None:
    config = compose(PLAIN)[0]
    parts = build(config, num_classes=5, channels=1, device=CPU, image_size=12)
    assert parts.models["embedder"].in_features == 144
    assert set(parts.optimizers) == {"embedder_optimizer"}  # there is nothing to train in the trunk
    check(config)


def test_a_network_that_cannot_take_the_images_is_refused_before_they_are_read() -> None:
    network = "{_target_:torch.nn.Conv2d,in_channels:3,out_channels:4,kernel_size:3}"
    with pytest.raises(UserError, match=r"does not take inputs of shape \(2, 1, 32, 32\)"):
        check(compose([f"trunk.network={network}"])[0])


def test_all_of_a_trunk_or_all_but_some_layers_can_be_frozen() -> None:
    def trained(*overrides: str) -> set[str]:
        trunk = parts_of("trunk.network.widths=[4,8]", *overrides).models["trunk"]
        return {name for name, weight in trunk.named_parameters() if weight.requires_grad}

    last = {"blocks.4.weight", "blocks.6.weight", "blocks.6.bias"}
    assert trained("trunk.freeze=all") == set()
    assert trained("trunk.freeze=all", "trunk.unfreeze=[blocks.4,blocks.6]") == last
    assert trained("trunk.freeze=[blocks]", "trunk.unfreeze=[blocks.6]") == last - {"blocks.4.weight"}
    with pytest.raises(UserError, match="trunk.unfreeze: unknown layer 'block'"):
        trained("trunk.freeze=all", "trunk.unfreeze=[block]")


@pytest.mark.parametrize("given", ["blocks", "3", "[1,2]", "null"])
def test_a_freeze_that_is_neither_all_nor_a_list_of_names_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="trunk.freeze must be all or a list of layers"):
        compose([f"trunk.freeze={given}"])
