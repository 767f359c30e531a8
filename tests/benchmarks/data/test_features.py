import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data.features import FEATURES, REST, Features, constant_columns, npz_bytes, read_features


def arrays(**changed: Any) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made = {"features": random.normal(size=(12, 5)).astype(np.float32), "labels": np.repeat(np.arange(4), 3)}
    return {key: value for key, value in (made | changed).items() if value is not None}


def write(path: Path, **changed: Any) -> Path:
    path.write_bytes(npz_bytes(arrays(**changed)))
    return path


def test_two_arrays_made_elsewhere_are_enough(tmp_path: Path) -> None:
    found = read_features(write(tmp_path / "mine.npz"))
    assert found.class_names == ["0", "1", "2", "3"] and found.num_features == 5 and found.num_views == 0
    assert found.source is None and found.partition is None and found.provenance == {}
    assert np.array_equal(found.features, arrays()["features"]) and found.labels.dtype == np.int64


def test_everything_comes_back_from_a_file_and_from_a_directory(tmp_path: Path) -> None:
    views = np.random.default_rng(1).normal(size=(12, 3, 5)).astype(np.float16)
    whole = Features(
        views, np.repeat(np.arange(4), 3), list("abcd"), np.arange(12) % 2, ["left", "right"],
        np.repeat(np.array([0, 0, 1, 1], np.uint8), 3), {"trunk": {"name": "mine"}},
    )  # fmt: skip
    (tmp_path / "file.npz").write_bytes(npz_bytes({"features": views, **whole.rest()}))
    directory = tmp_path / "directory"
    directory.mkdir()
    np.save(directory / FEATURES, views)
    (directory / REST).write_bytes(npz_bytes(whole.rest()))
    for path in (tmp_path / "file.npz", directory):
        found = read_features(path)
        assert found.content_hash == whole.content_hash and found.num_views == 2
        assert found.provenance == whole.provenance and found.source_names == ["left", "right"]
        assert np.array_equal(found.partition, whole.partition) and np.array_equal(found.source, whole.source)
    assert isinstance(read_features(directory).features, np.memmap)


@pytest.mark.parametrize(
    "changed",
    [
        {"features": -arrays()["features"]},
        {"features": arrays()["features"].astype(np.float16)},
        {"labels": np.tile(np.arange(4), 3)},
        {"class_names": np.array(list("abce"))},
        {"provenance": np.array('{"weights": "0"}')},
        {"partition": np.repeat([0, 0, 1, 1], 3)},
        {"source": np.arange(12)},
    ],
)
def test_the_hash_moves_with_everything_in_the_file(changed: dict[str, np.ndarray], tmp_path: Path) -> None:
    plain = read_features(write(tmp_path / "plain.npz", class_names=np.array(list("abcd"))))
    other = read_features(write(tmp_path / "other.npz", **{"class_names": np.array(list("abcd"))} | changed))
    assert other.content_hash != plain.content_hash


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"features": None}, "expected an array 'features'"),
        ({"labels": None}, "expected an array 'labels'"),
        ({"features": np.zeros((12, 5))}, "float16 or float32 .* are float64"),
        ({"features": np.zeros((12,), np.float32)}, r"of shape \(12,\)"),
        ({"features": np.zeros((12, 0), np.float32)}, r"of shape \(12, 0\)"),
        ({"features": np.zeros((12, 1, 5), np.float32)}, "with at least one view"),
        ({"features": np.zeros((12, 2, 5, 1), np.float32)}, r"of shape \(12, 2, 5, 1\)"),
        ({"features": np.where(np.arange(60).reshape(12, 5) == 36, np.nan, 1).astype("f4")}, "row 7 has nan or inf"),
        ({"features": np.full((12, 5), np.inf, np.float16)}, "row 0 has nan or inf"),
        ({"labels": np.arange(11)}, r"integers of shape \(12,\)"),
        ({"labels": np.repeat(np.arange(4.0), 3)}, "labels must be integers"),
        ({"labels": np.repeat([0, 1, 3, 4], 3)}, r"without a gap, but \[2\] have no row"),
        ({"labels": np.repeat([0, 1, 2, 10**12], 3)}, "12 rows cannot have label 1000000000000"),
        ({"labels": np.repeat([0, 1, 2, -1], 3)}, "labels must be at least 0, but row 9 is -1"),
        ({"labels": np.array([0, *np.repeat([1, 2], 6)])[:12] * 0}, "comparing classes needs at least 2"),
        ({"labels": np.array([0] * 6 + [1] * 5 + [2])}, "single image"),
        ({"class_names": np.array(["a", "b"])}, "class_names has 2 entries, but the row 9 has entry 3"),
        ({"class_names": np.arange(4)}, "class_names must be a vector of strings"),
        ({"source": np.arange(3)}, "source must be integers of shape"),
        ({"partition": np.repeat([0, 0, 1, 4], 3)}, "partition must be 0 .train., .* but row 9 is 4"),
        ({"provenance": np.array("[1]")}, "text of a JSON object"),
        ({"provenance": np.array("{")}, "text of a JSON object"),
        ({"provenance": np.zeros(3)}, "text of a JSON object"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_path(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.npz", **changed)
    with pytest.raises(ValueError, match=said) as refused:
        read_features(path)
    assert str(refused.value).startswith(str(path))


def test_what_cannot_be_read_is_refused_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_features(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "single.npy", np.zeros(3))
    whole = write(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, features=np.array([{}], dtype=object), labels=np.zeros(1, int))
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    np.save(tmp_path / "half" / FEATURES, arrays()["features"])
    for name in ("text.npz", "single.npy", "cut.npz", "pickled.npz", "empty", "half"):
        with pytest.raises(ValueError, match=name):
            read_features(tmp_path / name)


def test_constant_columns_are_those_with_one_value_in_every_row_and_view() -> None:
    features = np.random.default_rng(0).normal(size=(9, 2, 4)).astype(np.float32)
    features[:, :, 1] = 3
    features[:, 0, 2] = 3
    assert constant_columns(features).tolist() == [False, True, False, False]


def test_provenance_is_the_same_after_json() -> None:
    whole = Features(np.zeros((4, 1), "f4"), np.array([0, 0, 1, 1]), ["a", "b"], provenance={"b": [1], "a": None})
    assert json.loads(str(whole.rest()["provenance"])) == whole.provenance
