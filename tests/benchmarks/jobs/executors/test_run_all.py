import pytest

from benchmarks.errors import UserError
from benchmarks.jobs.executors import Resources, local, ray, run_all


@pytest.mark.parametrize(
    ("executor", "workers", "resources", "sentence"),
    [
        ("lokal", 1, Resources(), "unknown executor 'lokal'; the nearest known one is 'local'"),
        ("local", 0, Resources(), "workers must be at least 1, but got 0"),
        ("local", 1, Resources(per_gpu=0), "per_gpu must be at least 1, but got 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    executor: str, workers: int, resources: Resources, sentence: str
) -> None:
    with pytest.raises(UserError) as refusal:
        run_all(executor, eval, ["1 / 0"], workers, resources)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("resources", "gpus", "workers"),
    [
        (Resources(per_gpu=3), ["0", "1"], 6),
        (Resources(device="cpu", threads=2), ["0", "1"], 4),
        (Resources(device="cuda:1"), ["0", "1"], 1),
        (Resources(device="cuda:1", per_gpu=3), ["0", "1"], 3),
        (Resources(), [], 8),
    ],
)
def test_as_many_workers_as_the_gpus_or_cores_take(
    resources: Resources, gpus: list[str], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(local, "available_cores", lambda: 8)
    monkeypatch.setattr(local, "run_all", lambda function, jobs, workers, gpus, until: iter([(workers, gpus)]))
    asked = list(run_all("local", eval, ["1"], None, resources))
    assert asked == [(workers, gpus if resources.any_gpu else [])]


def test_ray_that_is_not_installed_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        run_all("ray", eval, ["1"])
