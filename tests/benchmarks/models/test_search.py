import re
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.models.inputs import pictures_at
from benchmarks.models.search import approximate_index, exact_index, measured_recall, nearest


def unit_rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_exact_search_orders_by_cosine() -> None:
    rows, queries = unit_rows(50, 6), unit_rows(4, 6, seed=1)
    found, cosines = nearest(exact_index(rows), queries, 5), queries @ rows.T
    np.testing.assert_array_equal(found.rows, np.argsort(-cosines, axis=1)[:, :5])
    np.testing.assert_allclose(found.similarity, -np.sort(-cosines, axis=1)[:, :5], atol=1e-6)
    assert nearest(exact_index(rows[:3]), queries, 5).rows.shape == (4, 3)  # there are no more


def test_recall_is_the_share_of_exact_neighbours_and_rows_do_not_find_themselves() -> None:
    rows = unit_rows(400, 8)
    assert measured_recall(exact_index(rows), rows, 10).recall == 1
    assert measured_recall(approximate_index(rows), rows, 10).recall > 0.99  # the graph is wide for so few rows
    halved = exact_index(np.where(np.arange(400)[:, None] % 2 == 0, rows, 0))  # every second row cannot be found
    recall = measured_recall(halved, rows, 10)
    assert 0.35 < recall.recall < 0.65 and recall.queries == 400


def test_equal_similarities_count_as_found() -> None:
    rows = np.repeat(unit_rows(2, 4), 20, axis=0)
    assert measured_recall(exact_index(np.ascontiguousarray(rows[::-1])), rows[::-1], 5).recall == 1


@pytest.fixture
def index(run: Path, tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Embeddings of twelve images, one of them with a name to escape."""
    for number in range(12):
        save(tmp_path / "photographs" / ("<b>&.png" if number == 7 else f"{number}.png"), number, (120, 90))
    out = tmp_path / "index.npz"
    assert main(["embed", str(run), str(tmp_path / "photographs"), "--out", str(out), "--quiet"]) == 0
    return out


def test_the_command_finds_the_query_itself_first_and_writes_a_page_without_requests(
    run: Path, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query, page = tmp_path / "photographs" / "<b>&.png", tmp_path / "page.html"
    capsys.readouterr()
    words = ["--index", str(index), "--query", str(query), "--count", "4", "--page", str(page)]
    assert main(["search", str(run), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(query) and re.fullmatch(r"\s+1  1\.0000  <b>&\.png", lines[1])
    assert len(lines) == 1 + 4 + 2 and "12 images" in lines[5] and "exact search" in lines[5]
    content = page.read_text()
    assert content.count("data:image/jpeg;base64,") == 1 + 4
    assert "&lt;b&gt;&amp;.png" in content and "<b>&.png" not in content
    assert not re.search(r"(src|href)=\"(?!data:)|@import|url\(", content)


def test_an_approximate_search_says_its_recall_and_the_index_can_be_kept(
    introspective: Path, index: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query, kept = str(tmp_path / "photographs" / "3.png"), tmp_path / "kept.faiss"
    words = ["search", str(run), "--index", str(index), "--query", query]
    assert main([*words, "--approximate", "--faiss", str(kept)]) == 0
    assert "recall@10 1.000 of 12 queries" in capsys.readouterr().out
    assert faiss.read_index(str(kept)).ntotal == 12
    assert main(["search", str(introspective), *words[2:]]) == 2
    assert "by another model" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert main([*words[:-1], str(tmp_path / "broken.png")]) == 2
    assert "not a readable image" in capsys.readouterr().err


def test_features_are_searched_with_features(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, out, page = features.parent / "rows.npz", tmp_path / "index.npz", tmp_path / "page.html"
    assert main(["embed", str(features), str(rows), "--out", str(out), "--quiet"]) == 0
    np.savez(tmp_path / "query.npz", features=np.load(rows)["features"][[5]])
    words = ["--index", str(out), "--query", str(tmp_path / "query.npz"), "--count", "1", "--page", str(page)]
    capsys.readouterr()
    assert main(["search", str(features), *words]) == 0
    assert re.search(r"1  1\.0000  5$", capsys.readouterr().out, re.MULTILINE)
    assert "no picture" in page.read_text()


def test_names_that_lead_out_of_the_folder_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "secret.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    picture = pictures_at(tmp_path / "in", ["a.png", "../secret.png", str(tmp_path / "secret.png")])
    assert picture(0) is not None and picture(1) is None and picture(2) is None
