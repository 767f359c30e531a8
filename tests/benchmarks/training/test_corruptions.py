import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.training.corruptions import KINDS, LEVELS, OCCLUSION, Corrupted, blurred, occluded
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.transforms import Identity


def pictures(count: int = 6, side: int = 20) -> tuple[ImageStore, torch.Tensor]:
    levels = np.random.default_rng(0).integers(256, size=(count, side, side, 3), dtype=np.uint8)
    return ImageStore(levels, torch.device("cpu")), torch.from_numpy(levels).movedim(-1, 1).float()


def corrupted(kind: str, level: int, seed: int = 0) -> torch.Tensor:
    store, _ = pictures()
    return Corrupted(Identity(), kind, level)(store.pictures(range(6)), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_farther_from_what_they_were_at_every_level_and_stay_images(kind: str) -> None:
    _, clean = pictures()
    found = [corrupted(kind, level) for level in LEVELS]
    distances = torch.stack([(each - clean).flatten(1).norm(dim=1) for each in found])
    assert (distances.diff(dim=0) > 0).all() and (distances[0] > 0).all()
    assert all(each.shape == clean.shape and each.min() >= 0 and each.max() <= 255 for each in found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_corruption(kind: str) -> None:
    assert torch.equal(corrupted(kind, 3), corrupted(kind, 3))
    assert torch.equal(corrupted(kind, 3), corrupted(kind, 3, seed=1)) == (kind == "blur")


def test_the_blur_is_scipys() -> None:
    image = np.random.default_rng(1).random((12, 17))
    expected = gaussian_filter(image, 1.5, mode="nearest", radius=4)
    np.testing.assert_allclose(blurred(torch.from_numpy(image)[None, None], 1.5)[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("share", OCCLUSION)
def test_the_square_has_its_share_of_the_area_and_lies_inside(share: float) -> None:
    found = occluded(torch.zeros(50, 1, 32, 40), torch.rand(2, 50), share) == 127.5
    np.testing.assert_allclose(found.float().mean(dim=(1, 2, 3)), share, rtol=0.1)


def test_an_unknown_kind_or_level_is_refused() -> None:
    for kind, level in (("fog", 1), ("blur", 6)):
        with pytest.raises(ValueError, match="kind and level must be of blur, noise, occlusion and 1 to 5"):
            Corrupted(Identity(), kind, level)
