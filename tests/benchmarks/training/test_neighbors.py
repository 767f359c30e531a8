import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.inference import FaissKNN
from torch import Tensor

from benchmarks.training import neighbors
from benchmarks.training.neighbors import ExactNeighbors, FaissNeighbors, full_float32, pack, unpack


def brute_force(query: Tensor, k: int, reference: Tensor, own: bool) -> tuple[Tensor, Tensor]:
    """For whole numbers: in float64, by a stable sort."""
    distances = torch.cdist(query.double(), reference.double()).square().round()
    if own:
        distances.fill_diagonal_(torch.inf)
    found = distances.sort(dim=1, stable=True)
    return found.values[:, :k], found.indices[:, :k]


def whole_numbers(rows: int, dimension: int, largest: int = 1) -> Tensor:
    """Embeddings whose distances are exact in float32, and mostly tied."""
    return torch.randint(-largest, largest + 1, (rows, dimension)).float()


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 64, 100, 4096])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("rows", "k"), [(300, 7), (129, 128), (97, 1), (257, 90)])
def test_ties_are_broken_by_index_across_all_tiles(side: int, own: bool, rows: int, k: int) -> None:
    reference = whole_numbers(rows, 5)
    query = reference if own else whole_numbers(83, 5)
    distances, indices = ExactNeighbors(side)(query, k, reference, own)
    expected_distances, expected = brute_force(query, k, reference, own)
    assert torch.equal(indices, expected)
    assert torch.equal(distances.double(), expected_distances)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [8, 37, 128])
def test_copies_of_a_row_are_equally_near_in_any_tile(dimension: int) -> None:
    rows = torch.nn.functional.normalize(torch.randn(40, dimension))
    which = torch.randint(40, (500,))
    distances, indices = ExactNeighbors(side=64)(rows[which], 499, rows[which], True)
    changes = distances.diff(dim=1) != 0
    assert torch.equal(which[indices].diff(dim=1)[changes] != 0, torch.ones(int(changes.sum()), dtype=torch.bool))
    rises = indices.diff(dim=1) > 0
    assert rises[~changes].all()


def test_close_rows_far_from_the_origin_are_told_apart() -> None:
    rows = torch.nn.functional.normalize(torch.randn(16) + 0.002 * torch.randn(400, 16))
    exact = torch.cdist(rows.double(), rows.double()).fill_diagonal_(torch.inf).argsort(dim=1)[:, :10]
    squares = rows.square().sum(dim=1)
    by_chance = (squares[:, None] + squares - 2 * rows @ rows.T).fill_diagonal_(torch.inf).argsort(dim=1)[:, :10]
    assert (ExactNeighbors(side=128)(rows, 10, rows, True)[1] == exact).double().mean() > 0.999
    assert (by_chance == exact).double().mean() < 0.98


def test_all_rows_alike_find_the_first_ones() -> None:
    rows = torch.ones(200, 16)
    distances, indices = ExactNeighbors(side=64)(rows, 3, rows, True)
    assert not distances.any()
    assert indices[:4].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert (indices[4:] == torch.arange(3)).all()


def test_random_rows_have_faisss_neighbours() -> None:
    rows = torch.nn.functional.normalize(torch.randn(700, 32))
    for query, own in ((rows, True), (torch.nn.functional.normalize(torch.randn(90, 32)), False)):
        theirs = FaissKNN()(query, 9, rows, own)
        for search in (ExactNeighbors(side=128), ExactNeighbors(), FaissNeighbors()):
            distances, indices = search(query, 9, rows, own)
            assert torch.equal(indices, theirs[1])
            torch.testing.assert_close(distances, theirs[0], rtol=0, atol=2e-6)


def test_queries_may_be_only_the_first_rows_of_the_reference() -> None:
    reference = whole_numbers(150, 4)
    _, indices = ExactNeighbors(side=32)(reference[:70], 20, reference, True)
    distances = torch.cdist(reference[:70], reference)
    distances[range(70), range(70)] = torch.inf
    assert torch.equal(indices, distances.square().round().sort(dim=1, stable=True).indices[:, :20])


@pytest.mark.parametrize("first", [0, 31, 64, 90])
def test_queries_may_be_any_consecutive_rows_of_the_reference(first: int) -> None:
    reference = whole_numbers(150, 4)
    expected = brute_force(reference, 20, reference, True)[1][first : first + 60]
    assert torch.equal(ExactNeighbors(side=32).among(reference[first : first + 60], 20, reference, first)[1], expected)
    alone = torch.randn(150, 16)
    everything = FaissNeighbors()(alone, 20, alone, True)[1][first : first + 60]
    assert torch.equal(FaissNeighbors().among(alone[first : first + 60], 20, alone, first)[1], everything)


@pytest.mark.parametrize("quiet", [True, False])
def test_a_long_search_shows_its_progress_unless_it_is_quiet(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neighbors, "PATIENCE", 0.0)
    rows = torch.randn(100, 4)
    ExactNeighbors(side=32, quiet=quiet)(rows, 3, rows, True)
    assert ("0/10" in capsys.readouterr().err) is not quiet


def test_keys_go_up_with_distance_then_index() -> None:
    distances = torch.tensor([0.0, 1e-40, 0.5, 0.5, 3.0, torch.inf]).repeat(2)
    indices = torch.tensor([9, 8, 3, 2**29 - 1, 1, 0] + [10, 9, 4, 0, 2, 1])
    order = np.lexsort((indices.numpy(), distances.numpy()))
    assert pack(distances, indices).argsort().tolist() == order.tolist()
    back = unpack(pack(distances, indices))
    assert torch.equal(back[0], distances) and torch.equal(back[1], indices)


def test_products_are_full_float32_and_the_setting_comes_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_float32("cpu"), torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = torch.nn.functional.normalize(torch.randn(64, 32))
            inside = ExactNeighbors()(rows, 5, rows, True)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(inside[0], ExactNeighbors()(rows, 5, rows, True)[0])


def test_what_has_no_neighbours_is_refused() -> None:
    rows = torch.randn(5, 3)
    with pytest.raises(ValueError, match="k must be between 1 and 4"):
        ExactNeighbors()(rows, 5, rows, True)
    broken = rows.clone()
    broken[2, 1] = torch.nan
    for query, reference in ((broken, rows), (rows, broken)):
        with pytest.raises(FloatingPointError, match="embeddings must be finite"):
            ExactNeighbors()(query, 2, reference, False)


def test_faiss_never_searches_elsewhere_than_asked() -> None:
    from benchmarks.errors import UserError

    rows = torch.randn(5, 3, device="meta")
    with pytest.raises(UserError, match="neighbors=faiss cannot search on meta"):
        FaissNeighbors()(rows, 2, rows, True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_breaks_ties_as_the_host_does() -> None:
    rows = whole_numbers(3000, 6)
    assert torch.equal(
        ExactNeighbors(side=512)(rows.cuda(), 50, rows.cuda(), True)[1].cpu(), brute_force(rows, 50, rows, True)[1]
    )
