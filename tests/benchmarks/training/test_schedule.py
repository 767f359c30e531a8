"""What a protocol says of the course of a training, seen in trainings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.training.train import train
from benchmarks.training.trainer import EpochTrainer

SETTINGS = [*TINY, "protocol.iterations_per_epoch=3", "protocol.epochs=3", "loss=proxy_anchor"]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that trains and returns what `look` saw of the trainer after each iteration."""

    def run(look: Any, *overrides: str) -> list[Any]:
        seen: list[Any] = []
        original = EpochTrainer.forward_and_backward

        def looking(self: EpochTrainer) -> None:
            original(self)
            seen.append(look(self))

        monkeypatch.setattr(EpochTrainer, "forward_and_backward", looking)
        train(*compose([*SETTINGS, f"runs={tmp_path}", *overrides]))
        return seen

    return run


def first_weight(trainer: EpochTrainer) -> float:
    return next(trainer.models["trunk"].parameters()).flatten()[0].item()


def rates(trainer: EpochTrainer) -> dict[str, float]:
    return {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer.optimizers.items()}


def test_the_trunk_stays_as_it_is_while_the_rest_warms_up(watched: Any) -> None:
    look = lambda trainer: (first_weight(trainer), trainer.models["embedder"].weight.sum().item())  # noqa: E731
    seen = watched(look, "protocol.warmup_epochs=2")
    trunk, embedder = zip(*seen, strict=True)
    assert len(set(trunk[:6])) == 1 and len(set(trunk[5:])) == 4
    assert len(set(embedder)) == 9


@pytest.mark.parametrize(("step", "factors"), [("epoch", [1, 1, 1, 0.5, 0.5, 0.5, 0.25]), ("iteration", [1, 0.5])])
def test_every_part_follows_the_schedule_from_its_own_rate(watched: Any, step: str, factors: list[float]) -> None:
    schedule = "protocol.lr_scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 1, gamma: 0.5}"
    seen = watched(rates, schedule, f"protocol.lr_scheduler_step={step}", "protocol.embedder_lr=0.1")
    for rate, factor in zip(seen, factors, strict=False):
        expected = {"trunk_optimizer": 0.003, "embedder_optimizer": 0.1, "metric_loss_optimizer": 0.03}
        assert rate == pytest.approx({name: start * factor for name, start in expected.items()})


def test_no_part_of_a_gradient_passes_the_limit(watched: Any) -> None:
    def largest(trainer: EpochTrainer) -> float:
        parts = [*trainer.models.values(), *trainer.loss_funcs.values()]
        grads = [weight.grad for part in parts for weight in part.parameters() if weight.grad is not None]
        return max(grad.abs().max().item() for grad in grads)

    assert max(watched(largest)) > 1e-3
    # while the trunk waits, too
    assert max(watched(largest, "protocol.clip_grad=0.001", "protocol.warmup_epochs=1")) == pytest.approx(1e-3)


def test_frozen_batchnorm_keeps_its_statistics_and_learns_its_affine_part(watched: Any) -> None:
    def norms(trainer: EpochTrainer) -> tuple[float, float]:
        norm = next(layer for layer in trainer.models["trunk"].modules() if isinstance(layer, torch.nn.BatchNorm2d))
        return norm.running_mean.sum().item(), norm.weight.sum().item()

    statistics, affine = zip(*watched(norms, "protocol.freeze_batchnorm=true"), strict=True)
    assert len(set(statistics)) == 1 and len(set(affine)) == 9


def test_frozen_layers_keep_their_weights(watched: Any) -> None:
    assert len(set(watched(first_weight, "trunk.freeze=[blocks]"))) == 1


def test_a_trunk_that_is_frozen_as_a_whole_stays_in_eval_mode_and_as_it_is(watched: Any) -> None:
    def seen(trainer: EpochTrainer) -> tuple[bool, float]:
        trunk = trainer.models["trunk"]
        return trunk.training, sum(tensor.double().sum().item() for tensor in trunk.state_dict().values())

    modes, sums = zip(*watched(seen, "trunk.freeze=all"), strict=True)
    assert set(modes) == {False} and len(set(sums)) == 1
    modes, sums = zip(*watched(seen, "trunk.freeze=all", "trunk.unfreeze=[blocks.4]"), strict=True)
    assert set(modes) == {True} and len(set(sums)) == len(sums)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = "protocol.lr_scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 1, gamma: 0.1}"
    words = [*SETTINGS, schedule, "protocol.evaluate_every=1", "protocol.warmup_epochs=1"]
    whole = train(*compose([*words, f"runs={tmp_path / 'whole'}"]))
    original = EpochTrainer.set_to_train

    def interrupted(self: EpochTrainer) -> None:
        if self.epoch == 3:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(EpochTrainer, "set_to_train", interrupted)
        train(*compose([*words, f"runs={tmp_path / 'parts'}"]))
    parts = train(*compose([*words, f"runs={tmp_path / 'parts'}"]))
    histories = [(folder / "result.json").read_text().split('"cost"')[0] for folder in (whole, parts)]
    assert histories[0] == histories[1]
