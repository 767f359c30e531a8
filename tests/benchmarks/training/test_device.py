import faiss
import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.training.device import choose_device, repeatable


def test_settings_hold_inside_and_are_put_back_after_an_error() -> None:
    def settings() -> tuple[int, int, bool]:
        return torch.get_num_threads(), faiss.omp_get_max_threads(), torch.are_deterministic_algorithms_enabled()

    before = settings()
    with pytest.raises(KeyError), repeatable(threads=2):
        assert settings() == (2, 2, True)
        raise KeyError
    assert settings() == before


def test_auto_takes_cuda_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nosuch", "xla", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=f"device={name} cannot be used"):
        choose_device(name)


def test_choosing_a_gpu_does_not_start_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("a tensor would start it"))
    assert choose_device("cuda:1") == torch.device("cuda:1")
