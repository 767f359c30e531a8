import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.builders import emoji
from benchmarks.data.builders.emoji import VENDORS, build, fetch_packages, notice


def square(color: str) -> dict[str, str]:
    return {"body": f'<path fill="{color}" d="M0 0h32v32H0z"/>'}


def install(packages: Path, icons: Mapping[str, Mapping[str, object]], aliases: Mapping[str, object]) -> None:
    """The same package for every vendor: names in fxemoji have no hyphens."""
    for vendor in VENDORS:
        folder = packages / vendor
        folder.mkdir(parents=True)
        spelled = {name.replace("-", "") if vendor == "fxemoji" else name: icon for name, icon in icons.items()}
        content = {"width": 32, "height": 32, "icons": spelled, "aliases": {} if vendor == "fxemoji" else aliases}
        (folder / "icons.json").write_text(json.dumps(content))
        info = {"name": f"Set {vendor}", "author": {"name": "A"}, "license": {"title": "MIT", "url": "https://mit"}}
        (folder / "info.json").write_text(json.dumps(info))
        (folder / "metadata.json").write_text(json.dumps({"categories": {"Animals": ["red-bear"]}}))


def recolor(packages: Path, vendor: str, name: str, icon: Mapping[str, object] | None) -> None:
    path = packages / vendor / "icons.json"
    content = json.loads(path.read_text())
    content["icons"].pop(name) if icon is None else content["icons"].update({name: icon})
    path.write_text(json.dumps(content))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """red-bear drawn by all, blue-frog by the first four; each vendor's drawing in its own shade."""
    install(tmp_path, {"red-bear": square("red"), "blue-frog": square("blue")}, {})
    for row, vendor in enumerate(VENDORS):
        hyphen = "" if vendor == "fxemoji" else "-"
        recolor(tmp_path, vendor, f"red{hyphen}bear", square(f"#ff{20 * row:02x}00"))
        recolor(tmp_path, vendor, f"blue{hyphen}frog", square(f"#00{20 * row:02x}ff") if row < 4 else None)
    return tmp_path


def test_classes_follow_by_name_and_images_by_vendor(packages: Path) -> None:
    built = build(packages)
    assert built["class_names"].tolist() == ["blue-frog", "red-bear"]
    assert built["superclass"].tolist() == ["?", "Animals"]
    assert built["labels"].tolist() == [0] * 4 + [1] * 9
    assert built["source"].tolist() == [0, 1, 2, 3, *range(9)]
    assert built["source_names"].tolist() == list(VENDORS)
    assert built["images"].shape == (13, 64, 64, 3)
    assert built["images"][:, 32, 32].tolist() == [
        *([0, 20 * row, 255] for row in range(4)),
        *([255, 20 * row, 0] for row in range(9)),
    ]


def test_emoji_of_three_vendors_is_no_class(packages: Path) -> None:
    recolor(packages, "noto", "blue-frog", None)
    assert build(packages)["class_names"].tolist() == ["red-bear"]


@pytest.mark.parametrize("name", ["man-artist", "frog-dark-skin-tone", "family-man-boy", "letter-a", "frog-light"])
def test_variants_and_letters_are_left_out(packages: Path, name: str) -> None:
    for row, vendor in enumerate(VENDORS):
        recolor(packages, vendor, name, square(f"#0000{20 * row:02x}"))
    assert name not in build(packages)["class_names"].tolist()


def test_names_for_one_icon_are_the_most_used_one(packages: Path) -> None:
    for vendor in VENDORS[:5]:
        path = packages / vendor / "icons.json"
        content = json.loads(path.read_text())
        content["aliases"] = {"bear": {"parent": "red-bear"}}
        path.write_text(json.dumps(content))
    assert build(packages)["class_names"].tolist() == ["blue-frog", "red-bear"]


def test_emoji_that_one_vendor_draws_as_a_more_used_one_is_left_out(packages: Path) -> None:
    recolor(packages, "noto", "blue-frog", square("#ff0000"))
    assert build(packages)["class_names"].tolist() == ["red-bear"]


def test_mirrored_drawing_is_not_taken(packages: Path) -> None:
    path = packages / "noto" / "icons.json"
    content = json.loads(path.read_text())
    del content["icons"]["red-bear"]
    content["aliases"] = {"red-bear": {"parent": "blue-frog", "hFlip": True}}
    path.write_text(json.dumps(content))
    built = build(packages)
    assert built["source"][built["labels"] == 1].tolist() == list(range(1, 9))


def test_drawing_that_two_vendors_share_is_kept_once(packages: Path) -> None:
    recolor(packages, "twemoji", "red-bear", square("#ff0000"))  # as noto
    built = build(packages)
    assert built["source"][built["labels"] == 1].tolist() == [0, 1, *range(3, 9)]


def test_drawing_that_is_not_square_lies_in_the_middle_on_white(packages: Path) -> None:
    wide = {"body": '<path fill="#000" d="M0 0h32v16H0z"/>', "height": 16}
    recolor(packages, "noto", "red-bear", wide)
    image = build(packages)["images"][4]
    assert np.all(image[:16] == 255) and np.all(image[16:48] == 0) and np.all(image[48:] == 255)


def test_notice_names_author_and_licence_of_every_vendor(packages: Path) -> None:
    lines = notice(packages).splitlines()
    assert len(lines) == 1 + len(VENDORS)
    assert "Set openmoji, A, MIT, https://mit" in lines


def test_missing_npm_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="npm: no such command, .* install Node.js"):
        fetch_packages(tmp_path)


def test_words_of_a_failing_npm_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no registry >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(ConnectionError, match="npm ci --ignore-scripts .*: no registry"):
        fetch_packages(tmp_path)


def test_every_vendor_is_pinned_to_one_version_and_one_content() -> None:
    folder = Path(emoji.__file__).parent
    pinned = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert sorted(pinned) == sorted(f"@iconify-json/{vendor}" for vendor in VENDORS)
    for name, version in pinned.items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert locked[f"node_modules/{name}"]["integrity"].startswith("sha512-")
