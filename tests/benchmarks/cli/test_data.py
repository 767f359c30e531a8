import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli import data
from benchmarks.cli.data import main
from benchmarks.data.builders import emoji, glyphs, glyphs_lite0
from benchmarks.data.features import read_features
from benchmarks.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """18 classes of two images."""
    for row in range(36):
        path = tmp_path / "images" / f"class {row // 2:02d}" / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(row).integers(0, 256, (30, 20 + row, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return tmp_path


def arguments(folder: Path) -> list[str]:
    values = {"path": folder / "images", "cache": folder / "cache", "resize": "short_side", "image_size": 8}
    return ["folder", *(f"data.{key}={value}" for key, value in values.items())]


def test_check_says_what_there_is_without_decoding_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *arguments(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "classes   18; images per class (min, median, max): 2, 2, 2"
    assert lines[3] == "all       36 images of 18 classes"
    assert lines[4] == "fold 0    train 14 of 7 classes, val 4 of 2 classes, test 18 of 9 classes"
    assert lines[-3].startswith("decoded   not yet; done by pml-aug data build folder")
    assert lines[-2] == (
        f"begin     pml-aug run data=folder data.path={folder / 'images'} data.name=folder "
        "data.image_size=32 trunk=small_cnn protocol=quickstart protocol.batch_size=24"
    )
    assert lines[-1].startswith("since     36 images, 6 training classes in a fold, short sides of 30 pixels: a small")
    assert not (folder / "cache").exists()


@pytest.mark.slow
def test_build_decodes_and_check_then_looks_at_the_pixels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", *arguments(folder)]) == 0
    built = capsys.readouterr().out.splitlines()
    assert built[1].startswith("images    36, RGB, 8 x 8 to 12 x 14 (height x width)")
    assert main(["check", *arguments(folder)]) == 0
    checked = capsys.readouterr().out.splitlines()
    assert built[2] in checked and checked[-3] == "problems  none"


def test_pixels_that_changed_since_they_were_decoded_are_a_problem(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["build", *arguments(folder)])
    (pixels,) = (folder / "cache").glob("*/pixels.bin")
    with open(pixels, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\7")
    assert main(["check", *arguments(folder)]) == 1
    assert "problem   image 35 has changed since it was decoded" in capsys.readouterr().out


def test_everything_that_is_wrong_with_a_folder_is_said_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = folder / "images"
    (images / "empty").mkdir()
    (images / "class 03" / "notes.txt").write_text("no picture")
    (images / "class 04" / "deeper").mkdir()
    (images / "class 05" / "10.jpg").write_bytes((images / "class 05" / "10.jpg").read_bytes()[:300])
    (images / "class 06" / "12.jpg").unlink()
    assert main(["check", *arguments(folder), "protocol.num_folds=5"]) == 1
    printed = capsys.readouterr().out
    for message in (
        "empty: holds no images",
        "notes.txt: not a readable image",
        "deeper: not a regular file",
        "10.jpg: not a readable image",
        "2 of 18 classes have a single image (class 05, class 06)",
        "5 folds need at least 20 classes",
    ):
        assert len([line for line in printed.splitlines() if message in line]) == 1, message
    assert "data.single_images=distractors" in printed and "problems  none" not in printed


def test_everything_that_is_wrong_with_a_list_is_said_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((folder / "images").glob("*/*.jpg"))
    lines = [f"{file},{file.parent.name},{'train' if row < 20 else 'test'}" for row, file in enumerate(files)]
    lines += ["none.jpg,new,train", ",new,test", f"{files[0]},{files[0].parent.name},test", "a.jpg,a,val"]
    (folder / "list.csv").write_text("\n".join(["image,label,split", *lines]) + "\n")
    assert main(["check", "csv", f"data.path={folder / 'list.csv'}", "data.image_size=null"]) == 1
    printed = capsys.readouterr().out
    for message in (
        "line 39 has no image",
        "line 41: split must be one of train",
        "listed twice",
        "is in both the training and the test part",
        "none.jpg: no such file",
        "the images have several sizes, 30 x 20 to 30 x 55 pixels; set data.image_size",
    ):
        assert len([line for line in printed.splitlines() if message in line]) == 1, message


def test_pictures_of_some_size_are_begun_with_pretrained_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row in range(40):
        path = tmp_path / "my photos" / f"{row // 2:02d}" / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(row).integers(0, 256, (140, 170, 3), dtype=np.uint8)).save(path)
    Image.new("RGB", (150, 150)).save(tmp_path / "my photos" / "00" / "9.png")
    (tmp_path / "my photos" / "alone").mkdir()
    Image.new("RGB", (150, 150), "red").save(tmp_path / "my photos" / "alone" / "1.png")
    assert main(["check", "folder", f"data.path={tmp_path / 'my photos'}"]) == 1
    (begin,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("begin"))
    assert begin == (
        f"begin     pml-aug choose data=folder 'data.path={tmp_path / 'my photos'}' data.name=folder "
        "data.single_images=distractors data.image_size=128 trunk=efficientnet_lite0 protocol=frozen minutes=16"
    )


def test_missing_data_is_a_problem_that_says_where_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "cub", f"data.path={tmp_path / 'none'}"]) == 1
    assert "Get it from https://data.caltech.edu" in capsys.readouterr().out


def test_too_few_classes_for_the_folds_are_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *arguments(folder), "protocol.num_folds=5"]) == 1
    assert "problem   5 folds need at least 20 classes" in capsys.readouterr().out


def test_identical_images_on_both_sides_are_a_problem_as_they_are_for_a_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "glyphs", "data.num_classes=24", "data.image_size=1"]) == 1
    printed = capsys.readouterr().out
    assert "test images are identical to images on the training side" in printed and "problems" not in printed


def test_every_fold_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8), dtype=np.uint8)
    images[2 * 2] = images[4 * 2]  # of classes 2 and 4, which fold 1 and fold 2 validate on
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(32) // 2)
    assert main(["check", "npz", f"data.path={tmp_path / 'mine.npz'}"]) == 1
    assert "1 validation images are identical to images on the training side" in capsys.readouterr().out


def test_classes_of_a_single_image_are_noted(cub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in range(8):
        image = cub / "images" / f"{50 + row:03d}.Bird" / "1.jpg"
        image.parent.mkdir()
        Image.new("RGB", (9, 9)).save(image)
    (cub / "images.txt").unlink()
    assert main(["check", "cub", f"data.path={cub}", "data.verify=false", f"data.cache={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "note      8 classes have a single image" in printed
    assert "training  15 images of 11 classes" in printed and "test      4 images of 2 classes" in printed


def test_gallery_is_shown_beside_the_queries(inshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (inshop / "list_eval_partition.txt").read_text().replace(" train", " query", 1)
    for item in range(20, 28):
        name = f"img/WOMEN/Dresses/id_{item:08d}/1.jpg"
        (inshop / name).parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(inshop / name)
        text += f"{name} id_{item:08d} train\n"
    text = text.replace(
        "id_00000007/01_1_front.jpg id_00000007 train", "id_00000007/01_1_front.jpg id_00000007 gallery"
    )
    (inshop / "list_eval_partition.txt").write_text(text)
    assert main(["check", "inshop", f"data.path={inshop}", "data.verify=false"]) == 0
    printed = capsys.readouterr().out
    assert "query     3 images of 3 classes" in printed and "gallery   5 images of 3 classes" in printed
    assert "test 3 of 3 classes, gallery 5 of 3 classes" in printed


def test_unknown_data_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="cub"):
        main(["check", "cubs"])


def test_other_emoji_than_the_pinned_ones_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    np.savez(tmp_path / "emoji64.npz", images=images, labels=np.arange(40) // 2)
    assert main(["check", "emoji", f"data.path={tmp_path / 'emoji64.npz'}"]) == 1
    assert (
        f"problem   not the emoji that others compare on, whose hash is {emoji.CONTENT_HASH}" in capsys.readouterr().out
    )


def test_built_emoji_go_where_the_configuration_looks_with_their_licences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"images": np.zeros((4, 8, 8, 3), dtype=np.uint8), "labels": np.arange(4) // 2}
    monkeypatch.setattr(emoji, "fetch_packages", lambda folder: folder)
    monkeypatch.setattr(emoji, "build", lambda packages: arrays)
    monkeypatch.setattr(emoji, "notice", lambda packages: "licences")
    assert main(["build", "emoji", f"data.path={tmp_path / 'deep' / 'emoji64.npz'}"]) == 0
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["emoji64.NOTICE.txt", "emoji64.npz"]
    assert "note      not what others compare on" in capsys.readouterr().out


@pytest.mark.slow
def test_built_glyphs_are_compared_with_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with np.load(data.SHIPPED_GLYPHS) as shipped:
        arrays = dict(shipped)
    monkeypatch.setattr(glyphs, "build", lambda: arrays)
    assert main(["build", "glyphs"]) == 0
    assert "equal     to what others compare on" in capsys.readouterr().out
    assert (tmp_path / "data" / "glyphs64.npz").is_file()


def test_nothing_is_built_for_what_is_read_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "npz", "data.path=x.npz"]) == 0
    assert "there is nothing to build" in capsys.readouterr().out


def test_shipped_features_are_checked_against_the_hash_that_others_compare_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "glyphs_lite0"]) == 0
    assert f"hash      {glyphs_lite0.CONTENT_HASH}" in capsys.readouterr().out
    monkeypatch.setattr(glyphs_lite0, "CONTENT_HASH", "other")
    assert main(["check", "glyphs_lite0"]) == 1
    assert "not the features that others compare on" in capsys.readouterr().out


@pytest.mark.slow
def test_features_built_again_are_compared_with_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "trunk=small_cnn", "data.num_classes=40", "data.image_size=16", "quiet=true"
    monkeypatch.setattr(glyphs_lite0, "SETTINGS", small)
    monkeypatch.setattr(glyphs_lite0, "NUM_FEATURES", 8)
    assert main(["build", "glyphs_lite0"]) == 0
    assert "not of the images that others compare on" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["glyphs_lite0.npz"]
    built = read_features(tmp_path / "data" / "glyphs_lite0.npz")
    assert built.pictures is not None and built.pictures.shape == (len(built.labels), 32, 32, 1)
    assert built.provenance["reduction"]["principal_components"] == built.num_features == 8
