import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.errors import UserError
from benchmarks.models import embed as module
from benchmarks.models import load_model
from benchmarks.models.embed import embed, read_embeddings
from benchmarks.models.inputs import inputs_of
from benchmarks.runs import resumable

COUNT = 10


@pytest.fixture
def photographs(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Images of several sizes and formats in sub-folders, among other files."""
    folder = tmp_path / "photographs"
    for number in range(COUNT):
        save(folder / f"{'ab'[number % 2]}" / f"{number}{('.jpg', '.PNG')[number % 2]}", number, (20 + number, 16))
    (folder / "notes.txt").write_text("no image")
    (folder / "a" / ".hidden.jpg").write_text("no image")
    return folder


def test_the_command_embeds_every_image_of_a_folder(
    run: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "b" / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "embeddings.npz"
    assert main(["embed", str(run), str(photographs), "--out", str(out), "--quiet", "--device", "cpu"]) == 0
    said, found, model = capsys.readouterr().out, read_embeddings(out), load_model(run)
    assert model.transform is not None and found.source == photographs
    assert found.names == [f"a/{number}.jpg" for number in (0, 2, 4, 6, 8)] + [f"b/{n}.PNG" for n in (1, 3, 5, 7, 9)]
    levels = torch.stack([model.transform(photographs / name) for name in found.names])
    np.testing.assert_allclose(found.embeddings, model(levels).detach().numpy(), atol=1e-6)  # other batches
    assert len(found.unreadable) == 1 and "broken.jpg" in found.unreadable[0] and found.uncertainty is None
    assert f"{COUNT} x 8" in said and "ignored: 1 files" in said and "broken.jpg: not a readable image" in said


def test_an_interrupted_computation_goes_on_and_gives_the_same_file(
    run: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_SIZE", 3)
    monkeypatch.setattr(resumable, "SAVE_AFTER", 0.0)
    (photographs / "a" / "broken.jpg").write_bytes(b"no image")
    model, whole, parts = load_model(run), tmp_path / "whole.npz", tmp_path / "parts.npz"
    embed(model, inputs_of(photographs, model), whole, quiet=True)

    computed, rows = module.embeddings_of, []

    def stopping(*given: object) -> np.ndarray:
        rows.append(1)
        if len(rows) == 3:
            raise KeyboardInterrupt
        return computed(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "embeddings_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        embed(model, inputs_of(photographs, model), parts, quiet=True)
    assert not parts.exists()
    embed(model, inputs_of(photographs, model), parts, quiet=True)
    assert len(rows) == 3 + 2  # the blocks that were left: rows 6 to 10
    assert parts.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"photographs", "parts.npz", "whole.npz"}


def test_what_is_there_is_neither_computed_again_nor_overwritten(
    run: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = load_model(run), tmp_path / "out.npz"
    embed(model, inputs_of(photographs, model), out, quiet=True)
    monkeypatch.setattr(module, "_computed", None)
    embed(model, inputs_of(photographs, model), out, quiet=True)
    Image.new("RGB", (20, 20)).save(photographs / "new.png")
    with pytest.raises(UserError, match="already with other files"):
        embed(model, inputs_of(photographs, model), out, quiet=True)
    other = tmp_path / "other.npz"
    np.savez(other, embeddings=np.ones((2, 2), np.float32))
    with pytest.raises(UserError, match="holds no embeddings.*'names'"):
        embed(model, inputs_of(photographs, model), other, quiet=True)


def test_a_directory_holds_the_same_as_a_file(introspective: Path, photographs: Path, tmp_path: Path) -> None:
    model = load_model(introspective)
    file, mapped = (embed(model, inputs_of(photographs, model), tmp_path / name, True) for name in ("f.npz", "f"))
    assert isinstance(mapped.embeddings, np.memmap) and file.names == mapped.names
    np.testing.assert_array_equal(file.embeddings, mapped.embeddings)
    assert file.uncertainty is not None and mapped.uncertainty is not None
    np.testing.assert_array_equal(file.uncertainty, mapped.uncertainty)
    assert ((file.uncertainty > 0) & (file.uncertainty < 1)).all()
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["embeddings.npy", "rest.npz"]


def test_images_of_an_npz_file_and_features_are_embedded(run: Path, features: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    model = load_model(run)
    found = embed(model, inputs_of(tmp_path / "images.npz", model), tmp_path / "i.npz", quiet=True)
    expected = model(torch.from_numpy(images)[:, None]).detach().numpy()
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
    assert found.names == ["0", "1", "2", "3", "4"]

    model = load_model(features)
    found = embed(model, inputs_of(features.parent / "rows.npz", model), tmp_path / "f.npz", quiet=True)
    np.testing.assert_allclose(found.embeddings[48:], np.load(features / "embeddings.npy"), atol=1e-6)


def test_what_a_model_cannot_take_is_refused(
    run: Path, features: Path, tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, vectors = load_model(run), load_model(features)
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "narrow.npz", features=np.ones((4, 3), np.float32))
    np.savez(tmp_path / "floats.npz", images=np.ones((4, 3, 3)))
    for model, source, message in (
        (images, tmp_path / "empty", "holds no images"),
        (images, tmp_path / "none.npz", "no such file"),
        (images, tmp_path / "narrow.npz", "expected an array 'images'"),
        (images, tmp_path / "floats.npz", "must be uint8"),
        (vectors, tmp_path / "narrow.npz", r"must have shape \(N, 6\)"),
        (vectors, photographs, "takes features, not images"),
    ):
        with pytest.raises(UserError, match=message):
            inputs_of(source, model)
    shutil.rmtree(photographs / "a")
    for file in (photographs / "b").iterdir():
        file.write_bytes(b"no image")
    assert main(["embed", str(run), str(photographs), "--out", str(tmp_path / "o.npz"), "--quiet"]) == 2
    assert "none of the 5 images can be read" in capsys.readouterr().err
    assert not (tmp_path / "o.npz.unfinished").exists()
