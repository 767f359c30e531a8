from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks.config.compose import RunConfig, compose
from benchmarks.config.parts import Normalization
from benchmarks.data import ImageArrays
from benchmarks.data.ragged import RaggedImages
from benchmarks.errors import UserError
from benchmarks.training.images import (
    ModelInput,
    StoredImages,
    Transform,
    eval_images,
    keep_batch,
    read_ahead,
    training_images,
)
from benchmarks.training.pixel_store import ImageStore, store_of
from benchmarks.training.transforms import CenterCrop, Identity, RandomResizedCrop, RandomShift

CPU = torch.device("cpu")


def some_images(channels: int = 1) -> np.ndarray:
    return np.random.randint(0, 256, (6, 8, 10, channels)).astype(np.uint8)


def some_data(ragged: bool = False) -> ImageArrays:
    arrays = some_images(3)
    pictures = [arrays[n, : 5 + n % 3, : 5 + n % 4] for n in range(6)]
    return ImageArrays("few", RaggedImages.of(pictures) if ragged else arrays, np.arange(6) // 2, ["a"], None, [])


def stored(arrays: np.ndarray, transform: Transform, seed: int = 0, on_device: bool | None = None) -> StoredImages:
    store = ImageStore(arrays, CPU, on_device)
    return StoredImages(store, np.arange(6), np.arange(6), transform, ModelInput(None, CPU), seed)


def test_images_come_as_floats_between_minus_one_and_one() -> None:
    arrays = some_images(channels=3)
    images, labels = stored(arrays, Identity()).__getitems__([4, 1])
    assert images.shape == (2, 3, 8, 10) and labels.tolist() == [4, 1] and images.is_contiguous()
    assert torch.equal(images, torch.from_numpy(arrays[[4, 1]]).movedim(-1, 1).float() / 127.5 - 1)


def test_a_trunks_own_mean_deviation_scale_and_channel_order_are_kept() -> None:
    levels = torch.randint(0, 256, (2, 3, 4, 4)).to(torch.uint8)
    imagenet = Normalization(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    expected = torch.stack(
        [(levels[:, c] / 255 - m) / s for c, (m, s) in enumerate(zip(imagenet.mean, imagenet.std, strict=True))], dim=1
    )
    torch.testing.assert_close(ModelInput(imagenet, CPU)(levels), expected)

    caffe = Normalization(mean=[104.0, 117.0, 128.0], std=[1.0, 1.0, 1.0], scale=1.0, bgr=True)
    blue = levels[:, 2].float() - 104
    torch.testing.assert_close(ModelInput(caffe, CPU)(levels)[:, 0], blue)


def test_a_gray_image_is_repeated_for_a_trunk_of_three_channels() -> None:
    gray = torch.randint(0, 256, (2, 1, 4, 4)).to(torch.uint8)
    got = ModelInput(Normalization(mean=[0.0, 0.5, 1.0], std=[1.0, 1.0, 1.0]), CPU)(gray)
    torch.testing.assert_close(got, gray / 255 - torch.tensor([0.0, 0.5, 1.0])[:, None, None])


@pytest.mark.parametrize("transform", [RandomShift(0.3), RandomResizedCrop(5)])
def test_an_epochs_images_depend_on_seed_and_epoch_alone(transform: Transform) -> None:
    arrays = some_images()

    def augmented(seed: int, epoch: int) -> torch.Tensor:
        images = stored(arrays, transform, seed)
        torch.rand(7)  # the shared generator moves, the images do not
        images.start_epoch(epoch)
        return images.__getitems__([0, 1, 2, 3, 4, 5] * 5)[0]

    assert torch.equal(augmented(0, 2), augmented(0, 2))
    assert not torch.equal(augmented(0, 2), augmented(0, 3))
    assert not torch.equal(augmented(0, 2), augmented(1, 2))


@pytest.mark.parametrize("transform", [Identity(), RandomShift(0.3), RandomResizedCrop(5), CenterCrop(6)])
def test_the_numbers_are_the_same_wherever_the_images_are_kept(transform: Transform) -> None:
    arrays = some_images(3)

    def epoch(on_device: bool, ahead: bool) -> list[torch.Tensor]:
        images = stored(arrays, transform, on_device=on_device)
        images.start_epoch(1)
        loader = DataLoader(images, batch_size=2, collate_fn=keep_batch)
        return [tensor for batch in (read_ahead(loader) if ahead else loader) for tensor in batch]

    expected = epoch(on_device=True, ahead=False)
    assert len(expected) == 6
    for on_device, ahead in ((True, True), (False, False), (False, True)):
        for got, wanted in zip(epoch(on_device, ahead), expected, strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("transform", [Identity(), RandomShift(0.3), RandomResizedCrop(5), CenterCrop(6)])
def test_no_batch_makes_the_host_wait_for_the_device(transform: Transform) -> None:
    nowhere = torch.device("meta")  # reading a value from it is an error
    store = ImageStore(some_images(3), nowhere, on_device=True)
    images = StoredImages(store, np.arange(6), np.arange(6), transform, ModelInput(None, nowhere), seed=0)
    images.start_epoch(1)
    batch, labels = images.__getitems__([3, 1, 1])
    assert batch.device == labels.device == nowhere and batch.shape[:2] == (3, 3)
    with pytest.raises(RuntimeError):
        batch.sum().item()


def test_batches_read_ahead_stop_where_their_reader_does_and_hand_on_errors() -> None:
    made = []

    def batches() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            if n == 50:
                raise OSError("the disk is gone")
            yield n

    reader = read_ahead(batches())
    assert [next(reader) for _ in range(5)] == [0, 1, 2, 3, 4]
    reader.close()
    assert len(made) <= 8
    with pytest.raises(OSError, match="the disk is gone"):
        list(read_ahead(batches()))


def config(train: str, evaluate: str) -> RunConfig:
    composed, _ = compose(["protocol=smoke"])
    composed.protocol.train_images = {"_target_": f"benchmarks.training.transforms.{train}", "size": 4}
    composed.protocol.eval_images = {"_target_": f"benchmarks.training.transforms.{evaluate}", "size": 5}
    return composed


@pytest.mark.parametrize("ragged", [False, True])
def test_a_protocols_transforms_make_the_images(ragged: bool) -> None:
    data, rows = some_data(ragged), np.array([5, 0, 3])
    made = config("RandomResizedCrop", "CenterCrop")
    train = training_images(made, store_of(data, CPU), rows, np.array([1, 0, 2]))
    test = eval_images(made, store_of(data, CPU), rows, data.labels[rows])
    assert train.transform == RandomResizedCrop(4) and train.store is test.store
    images, labels = test.__getitems__([1, 2])
    assert images.shape == (2, 3, 5, 5) and labels.tolist() == data.labels[[0, 3]].tolist()
    assert train.__getitems__([0, 2])[1].tolist() == [1, 2]


def test_transforms_that_do_not_serve_are_refused_by_name() -> None:
    data, rows = some_data(ragged=True), np.arange(6)
    store = store_of(data, CPU)
    with pytest.raises(UserError, match=r"protocol.eval_images must not be random, but got RandomResizedCrop"):
        eval_images(config("RandomResizedCrop", "RandomResizedCrop"), store, rows, data.labels)
    with pytest.raises(UserError, match=r"protocol.train_images=benchmarks.training.transforms.CentreCrop"):
        training_images(config("CentreCrop", "CenterCrop"), store, rows, rows)
    made = config("RandomResizedCrop", "CenterCrop")
    made.protocol.eval_images["size"] = 6
    with pytest.raises(UserError, match="shortest side of the images, 5 pixels, but got 6"):
        eval_images(made, store, rows, data.labels)
