import pytest
import torch

from benchmarks.trunks import SmallCNN


@pytest.mark.parametrize("channels", [1, 3])
def test_a_trunk_tells_its_width_for_gray_and_for_colour(channels: int) -> None:
    trunk = SmallCNN(in_channels=channels, widths=[4, 6])
    assert trunk(torch.zeros(2, channels, 9, 9)).shape == (2, trunk.out_features) == (2, 6)


@pytest.mark.parametrize("widths", [[], [4, 0]])
def test_impossible_widths_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="widths must be one or more positive numbers"):
        SmallCNN(in_channels=1, widths=widths)
