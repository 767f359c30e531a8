import torch

from benchmarks.config.compose import compose
from benchmarks.profiling.feature_steps import plain_epoch, random_features
from benchmarks.profiling.training_steps import training


def test_the_plain_loop_trains_the_parts_of_the_training() -> None:
    data, split = random_features(width=6)
    config, _ = compose(["data=features", "loss=proxy_anchor", "protocol.batch_size=16", "protocol.embedding_size=4"])
    with training(config, data, split, torch.device("cpu"), steps=2) as made:
        weights = [*made.parts.models["embedder"].parameters(), *made.parts.loss_funcs["metric_loss"].parameters()]
        before = [weight.detach().clone() for weight in weights]
        steps = made.parts.optimizers["embedder_optimizer"].state[weights[0]]["step"].item()
        plain_epoch(made)()
        assert made.parts.optimizers["embedder_optimizer"].state[weights[0]]["step"].item() == steps + 2
    assert not any(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))
