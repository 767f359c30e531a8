"""Damaged files are read soundly, or refused in one sentence that names them; ``--fuzz-seconds`` tries for longer."""

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.decoding import FORMATS, Form, decode
from benchmarks.data.folder import list_folder
from benchmarks.data.listing import Listing
from benchmarks.data.npz import read_npz
from benchmarks.data.published import cars196, inshop, sop

Seeds = Callable[[int], Iterator[int]]
SLOWEST = 5  # seconds; refusals take milliseconds, but the machine may be busy
ODD = (b"\0", b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"'", b"(", b"\n", b"1" * 30, b"-1", b"\xc3", b"%!PS")

pytestmark = pytest.mark.filterwarnings("ignore")  # what Pillow and numpy remark about damage


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """The content with one to four places changed, moved, left out or added."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        start = int(random.integers(0, max(1, len(changed))))
        # most of what can go wrong is in the first and last bytes
        start = start % 200 if random.random() < 0.4 else max(0, len(changed) - start % 200) if start % 3 else start
        end = start + int(random.integers(1, 20))
        match random.integers(0, 6):
            case 0:
                changed[start : start + 1] = bytes([int(random.integers(0, 256))])
            case 1:
                changed[start:end] = random.bytes(end - start)
            case 2:
                odd = ODD[int(random.integers(0, len(ODD)))]
                changed[start : start + len(odd)] = odd
            case 3:
                del changed[start:end]
            case 4:
                changed[start:start] = changed[start:end]
            case 5:
                del changed[start:]
    return bytes(changed)


def is_read(read: Callable[[], object], named: Path) -> bool:
    """Whether the read succeeds; a refusal must be one sentence that names the file or directory."""
    started = time.monotonic()
    try:
        read()
        outcome = True
    except (ValueError, FileNotFoundError) as refusal:
        assert str(named) in str(refusal) and "\n" not in str(refusal), refusal
        outcome = False
    assert time.monotonic() - started < SLOWEST
    return outcome


def npz(random: np.random.Generator) -> bytes:
    images = random.integers(0, 256, (8, 5, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    save = np.savez_compressed if random.random() < 0.5 else np.savez
    more = {"class_names": list("abcd"), "source": np.arange(8) % 2, "source_names": ["x", "y"]}
    save(buffer, images=images, labels=np.arange(8) // 2, **(more if random.random() < 0.5 else {}))
    return buffer.getvalue()


def with_damaged_member(content: bytes, random: np.random.Generator) -> bytes:
    """An intact archive, checksums included, of which one array is damaged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as changed:
        names = archive.namelist()
        chosen = names[int(random.integers(0, len(names)))]
        for name in names:
            member = archive.read(name)
            changed.writestr(name, damaged(member, random) if name == chosen else member)
    return buffer.getvalue()


@pytest.mark.slow
def test_damaged_npz_is_read_soundly_or_refused(tmp_path: Path, fuzz_seeds: Seeds) -> None:
    file, read = tmp_path / "data.npz", 0
    for seed in fuzz_seeds(1500):
        random = np.random.default_rng(seed)
        content = npz(random)
        file.write_bytes((with_damaged_member if seed % 2 else damaged)(content, random))

        def sound() -> None:
            data = read_npz(file, "mine")
            assert data.images.dtype == np.uint8 and len(data.images) == len(data.labels)
            assert np.array_equal(np.unique(data.labels), np.arange(len(data.class_names)))
            assert len(data.content_hash) == 64

        read += is_read(sound, file)
    assert read > 0


def image(name: str, random: np.random.Generator) -> bytes:
    mode = ("RGB", "L")[int(random.integers(0, 2))]
    shape = (12, 17, 3) if mode == "RGB" else (12, 17)
    picture = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = int(random.integers(1, 9))
    exif[0x010E] = "a description"
    exif[0x011A] = 72.0
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **({"exif": exif} if name in ("JPEG", "PNG", "TIFF", "WEBP") else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_image_is_decoded_to_its_form_or_refused(
    name: str, tmp_path: Path, fuzz_seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)  # the default allows 179 million, which take seconds
    file, read = tmp_path / "image.jpg", 0
    for seed in fuzz_seeds(150):
        random = np.random.default_rng(seed)
        file.write_bytes(damaged(image(name, random), random))
        form = Form(9, ("square", "short_side")[seed % 2], upright=seed % 3 > 0)

        def sound(form: Form = form) -> None:
            pixels = decode(file, form)
            assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and min(pixels.shape[:2]) == 9

        read += is_read(sound, file)
    assert read > 0


def inshop_list(base: Path) -> Path:
    rows = [f"img/{item}/{row}.jpg {item} {status}" for item, status in enumerate("aabb") for row in range(2)]
    text = "\n".join(["8", "image_name item_id evaluation_status", *rows]) + "\n"
    text = text.replace(" a\n", " train\n").replace(".jpg 2 b", ".jpg 2 query").replace(".jpg 3 b", ".jpg 3 gallery")
    (base / "list_eval_partition.txt").write_text(text)
    return base / "list_eval_partition.txt"


def sop_list(base: Path) -> Path:
    for half, first in (("train", 1), ("test", 3)):
        rows = [f"{row} {first + row // 2} 1 bicycle_final/{half}{row}.JPG" for row in range(4)]
        (base / f"Ebay_{half}.txt").write_text("\n".join(["image_id class_id super_class_id path", *rows]) + "\n")
    return base / "Ebay_train.txt"


def cars_list(base: Path) -> Path:
    (base / "names.csv").write_text("".join(f"Car {number}\n" for number in range(1, 197)))
    for half in ("train", "test"):
        (base / f"anno_{half}.csv").write_text("".join(f"{row}.jpg,1,2,3,4,{1 + row * 60}\n" for row in range(4)))
    return base / "anno_train.csv"


@pytest.mark.parametrize(
    ("write", "list_images"),
    [(inshop_list, inshop.list_images), (sop_list, sop.list_images), (cars_list, cars196.list_images)],
)
def test_damaged_list_is_refused_or_read(
    write: Callable[[Path], Path],
    list_images: Callable[[Path], Listing],
    tmp_path: Path,
    fuzz_seeds: Seeds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (inshop, sop, cars196):
        monkeypatch.setattr(module, "require_files", lambda listing, path: None)  # the lists are what is damaged
    file = write(tmp_path)
    content, read = file.read_bytes(), 0
    for seed in fuzz_seeds(500):
        file.write_bytes(damaged(content, np.random.default_rng(seed)))
        read += is_read(lambda: list_images(tmp_path), tmp_path)
    assert read > 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_folder_of_anything_is_listed_or_refused(tmp_path: Path, fuzz_seeds: Seeds) -> None:
    make: list[Callable[[Path], object]] = [
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_bytes(b""),
    ]
    names = ("a.jpg", ".hidden", "ü", "\udcff", "a b", "-x", "*")
    read = 0
    for seed in fuzz_seeds(400):
        random = np.random.default_rng(seed)
        base = tmp_path / str(seed)
        for number in range(random.integers(0, 4)):
            (base / f"class {number}").mkdir(parents=True)
            for row in range(random.integers(0, 4)):
                (base / f"class {number}" / f"{row}.png").touch()
        if random.random() < 0.7 and base.exists():
            places = [base, *base.glob("class *")]
            place = places[int(random.integers(0, len(places)))]
            make[int(random.integers(0, len(make)))](place / names[int(random.integers(0, len(names)))])

        def sound(base: Path = base) -> None:
            listing = list_folder(base)
            assert np.bincount(listing.labels).min() >= 2 and all(file.is_file() for file in listing.files)

        read += is_read(sound, base)
    assert read > 0
