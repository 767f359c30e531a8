"""Canned run directories, and tiny folders in the layouts of the published data sets."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from canned_runs import CannedRuns
from forked import fork_workers
from PIL import Image
from scipy.io import savemat

Save = Callable[..., Path]


def save_picture(
    path: Path, seed: int = 0, size: tuple[int, int] = (30, 20), mode: str = "RGB", **options: object
) -> Path:
    """A smooth picture, so that JPEG changes it little; GIF-like palettes and CMYK by ``mode``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)
    picture.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def save() -> Save:
    return save_picture


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker processes of ``executor=local`` need not import torch each."""
    fork_workers(monkeypatch)


@pytest.fixture
def compiled_here() -> Iterator[None]:
    """Few kernels are compiled in this process sooner than those of a pool have imported torch."""
    from torch._inductor import config

    with config.patch(compile_threads=1):
        yield


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """CUB_200_2011 with classes 2, 10, 100, 101, 200 of three, two, ... images: grey, CMYK and turned ones too."""
    base = tmp_path / "CUB_200_2011"
    names = []
    for number, bird in ((200, "Yellowthroat"), (2, "Albatross"), (10, "Bunting"), (101, "Pelican"), (100, "Brown")):
        for picture in range(3 if number == 2 else 2):
            name = f"{number:03d}.{bird}/{bird}_{picture:04d}_{number}.jpg"
            names.append(name)
            save_picture(base / "images" / name, 10 * number + picture)
    save_picture(base / "images" / names[0], 0, mode="L")
    save_picture(base / "images" / names[1], 1, mode="CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_picture(base / "images" / names[2], 2, exif=exif)
    (base / "images.txt").write_text("".join(f"{row} {name}\n" for row, name in enumerate(sorted(names), start=1)))
    return base


@pytest.fixture
def cars196(tmp_path: Path) -> Path:
    """car_ims/ and cars_annos.mat with classes 1, 98, 99 and 196, listed in no order."""
    base = tmp_path / "cars"
    classes = [196, 1, 98, 99, 1, 196, 99, 98]
    fields = ["relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
    annotations = np.zeros((1, len(classes)), dtype=[(field, object) for field in fields])
    for row, number in enumerate(classes):
        name = f"car_ims/{row + 1:06d}.jpg"
        save_picture(base / name, row)
        annotations[0, row] = (name, 1, 1, 5, 5, number, row % 2)
    names = np.array([[f"Car {number}" for number in range(1, 197)]], dtype=object)
    savemat(base / "cars_annos.mat", {"annotations": annotations, "class_names": names})
    return base


@pytest.fixture
def sop(tmp_path: Path) -> Path:
    """Stanford_Online_Products with training classes 2 and 10 and test classes 11 and 12."""
    base = tmp_path / "Stanford_Online_Products"
    image = 0
    for half, classes in (("train", (10, 2)), ("test", (12, 11))):
        lines = ["image_id class_id super_class_id path"]
        for number in classes:
            for picture in range(2):
                image += 1
                name = f"bicycle_final/{1000 + number}_{picture}.JPG"
                save_picture(base / name, image, mode="L" if image == 3 else "RGB")
                lines.append(f"{image} {number} 1 {name}")
        (base / f"Ebay_{half}.txt").write_text("\n".join(lines) + "\n")
    return base


@pytest.fixture
def inshop(tmp_path: Path) -> Path:
    """In-Shop with a training item of one image, one of two, and two test items of a query and two gallery images."""
    base = tmp_path / "In_Shop"
    rows = []
    for item, statuses in (
        (7, "train train"),
        (3, "train"),
        (5, "gallery query gallery"),
        (1, "query gallery gallery"),
    ):
        for picture, status in enumerate(statuses.split()):
            name = f"img/WOMEN/Dresses/id_{item:08d}/0{picture}_1_front.jpg"
            save_picture(base / name, 10 * item + picture)
            rows.append(f"{name} id_{item:08d} {status}")
    text = "\n".join([str(len(rows)), "image_name item_id evaluation_status", *rows]) + "\n"
    (base / "list_eval_partition.txt").write_text(text)
    return base


@pytest.fixture
def canned(tmp_path: Path) -> CannedRuns:
    return CannedRuns(tmp_path / "runs")


@pytest.fixture(scope="session")
def canned_in() -> type[CannedRuns]:
    """For fixtures that several tests share: ``canned_in(root)``."""
    return CannedRuns
