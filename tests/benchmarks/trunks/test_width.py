from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.trunks import SmallCNN
from benchmarks.trunks.width import feature_width


class Noisy(nn.Module):
    """A network with all that a pass in training mode would change."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Dropout(0.5), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images) + torch.rand(())


def test_a_pass_finds_the_width_and_changes_nothing() -> None:
    trunk = Noisy()
    trunk.layers[2].eval()
    state = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    random = torch.get_rng_state()
    assert feature_width(trunk, (3, 4, 4)) == 5 * 16
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, state[name]) for name, tensor in trunk.state_dict().items())
    assert trunk.training and trunk.layers[1].training and not trunk.layers[2].training
    assert all(weight.grad is None for weight in trunk.parameters())


def test_a_trunk_that_tells_its_width_is_believed() -> None:
    assert feature_width(SmallCNN(in_channels=1, widths=[4, 6]), (3, 1, 1)) == 6


class Returns(nn.Module):
    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, images: Tensor) -> Any:
        return self.make(images)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda images: images, r"gave torch.float32 \(2, 3, 4, 4\)"),
        (lambda images: (images,), "gave tuple"),
        (lambda images: images.flatten(), r"gave torch.float32 \(96,\)"),
        (lambda images: images.flatten(1).long(), r"gave torch.int64 \(2, 48\)"),
        (lambda images: images @ images.new_zeros(7), r"does not take inputs of shape \(2, 3, 4, 4\): RuntimeError"),
    ],
)
def test_what_is_not_one_vector_per_image_is_refused(make: Callable[[Tensor], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        feature_width(Returns(make), (3, 4, 4))
