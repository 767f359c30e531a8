"""The steps of ``gpu-check``: each yields its results as rows of json, as soon as it has them."""

import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from ..config.compose import PACKAGE, RunConfig, compose
from ..config.lists import list_kinds, read_suite
from ..jobs.executors.local import available_cores
from ..jobs.runner import train_all
from ..jobs.suite import list_tasks
from ..runs.writer import environment
from ..training.neighbors import ExactNeighbors
from ..training.precision import PRECISIONS
from .cost import time_case
from .cost_cases import CASES, Case
from .limited import NotPossibleError
from .roofline import measure_roofline
from .speed import measure_evaluation, measure_packed, measure_steps
from .timing import interleaved_medians
from .training_steps import data_for

Rows = Iterator[dict[str, Any]]
WRAPPED = ("multi_similarity/ee", "multi_similarity/iaa", "proxy_anchor/ps", "proxy_anchor/idml_no_mixup")
BASELINES = ("multi_similarity/none", "proxy_anchor/none")
NEIGHBORS = 8  # of each query, as Recall@8 needs
SAFETY = 0.8  # the share of the time left that is planned with


class Sizes(NamedTuple):
    """How much is measured."""

    training: Sequence[str]  # overrides of every training whose steps are timed
    side: int  # of the random images
    batches: Sequence[int]
    packed: Sequence[int]  # processes at once
    steps: int  # per timed epoch
    rounds: int  # timed epochs, of which the median counts
    pieces: str  # part of the names of the pieces; "" for all
    evaluation: tuple[int, int, int]  # rows, dimension, rows per class
    study: Sequence[str]  # name of a suite, and overrides
    most_seeds: int


FULL = Sizes(
    training=("trunk=resnet50", "trunk.network.weights=null", "protocol=reality_check"),
    side=256,
    batches=(128, 32),
    packed=(2, 4),
    steps=20,
    rounds=5,
    pieces="",
    evaluation=(60_502, 512, 5),  # Stanford Online Products
    study=("drawings", "per_gpu=8"),
    most_seeds=20,
)
TINY = Sizes(
    training=("trunk=small_cnn", "protocol=smoke"),
    side=16,
    batches=(8,),
    packed=(1,),
    steps=1,
    rounds=1,
    pieces="EE, 2 points",
    evaluation=(200, 8, 5),
    study=(
        "smoke",
        "comparisons=[{loss: multi_similarity, methods: [none, ee]}]",
        "protocol.iterations_per_epoch=2",
        "workers=1",
    ),
    most_seeds=1,
)
VARIANTS = {
    "float32": (),
    "bfloat16": ("protocol.precision=bfloat16",),
    "channels_last": ("protocol.precision=bfloat16", "protocol.channels_last=true"),
    "compiled": ("protocol.precision=bfloat16", "protocol.channels_last=true", "protocol.compile=true"),
}


class Task(NamedTuple):
    """What a step is called with."""

    device: str
    sizes: Sizes
    out: Path
    end: float  # of the step, by time.monotonic


def machine(task: Task) -> Rows:
    """What the machine is, and the most that it can do."""
    device = torch.device(task.device)
    about: dict[str, Any] = {"kind": "machine", "cores": available_cores(), "system": platform.platform()}
    gpu = None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gpu = properties.name
        about |= {"gpu": gpu, "gpu_bytes": properties.total_memory, "cuda": torch.version.cuda}
    yield about | {"environment": environment(gpu, "")}
    for name, dtype in PRECISIONS.items():
        yield {"kind": "roofline", "precision": name, **measure_roofline(device, dtype)._asdict()}
    if shutil.which("nvidia-smi") and gpu is not None:
        subprocess.run(["nvidia-smi"], stdout=sys.stderr, stderr=sys.stderr)  # into the log


def tests(task: Task) -> Rows:
    """How the tests end that need a GPU; without one they are skipped."""
    root = PACKAGE.parent
    files = [path for path in sorted((root / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    if find_spec("pytest") is None:
        raise NotPossibleError("pytest is not installed: pip install pytest")
    if not files or not (root / "setup.cfg").exists():  # an installed package may lie beside the tests of another
        raise NotPossibleError(f"there are no tests beside {PACKAGE}: run it in a clone of the project")
    import pytest  # not among the packages that the benchmark needs

    outcomes: list[tuple[str, str]] = []

    class Recorder:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                outcomes.append((report.nodeid, report.outcome))

    os.chdir(root)
    status = pytest.main(["-m", "gpu", "-q", "-p", "no:cacheprovider", *map(str, files)], plugins=[Recorder()])
    yield {"kind": "tests", "status": int(status), "outcomes": outcomes}
    if status:
        failed = [name for name, outcome in outcomes if outcome == "failed"]
        raise RuntimeError(f"pytest ended with status {int(status)}: {', '.join(failed) or 'see the log'}")


def pieces(task: Task) -> Rows:
    """Milliseconds of each part of the library beside its baseline."""
    torch.set_num_threads(1)

    def timed(case: Case) -> Rows:
        size = case.size._replace(device=task.device)
        yield {"kind": "piece", **time_case(case, size, 3 * task.sizes.rounds)}

    return _each(timed, [case for case in CASES if task.sizes.pieces in case.name])


def steps(task: Task, variant: str) -> Rows:
    """Images per second of whole steps: the baselines alone, or with the wrapped losses beside them."""
    if variant == "compiled" and torch.device(task.device).type == "cpu":
        raise NotPossibleError("compiled steps are for a GPU; on a CPU the compiler alone takes minutes")
    pairs = {
        "channels_last": (*BASELINES, *WRAPPED),
        "compiled": (BASELINES[0], WRAPPED[0]),  # each training is compiled again
    }.get(variant, BASELINES[:1])

    def timed(batch_size: int) -> Rows:
        configs = [_config(task, variant, batch_size, pair) for pair in pairs]
        data, split = data_for(configs[0], task.sizes.side)
        device = torch.device(task.device)
        for row in measure_steps(configs, data, split, device, task.sizes.steps, task.sizes.rounds):
            yield {"kind": "step", "variant": variant, **row._asdict()}

    return _each(timed, task.sizes.batches)


def packed(task: Task) -> Rows:
    """Images per second of several trainings at once, each with its images on the device."""
    config = _config(task, "channels_last", min(task.sizes.batches), BASELINES[0])

    def timed(processes: int) -> Rows:
        device, sizes = torch.device(task.device), task.sizes
        start: Literal["spawn", "fork"] = "fork" if device.type == "cpu" else "spawn"
        row = measure_packed(config, sizes.side, device, processes, sizes.steps, sizes.rounds, start)
        yield {"kind": "packed", "processes": processes, "variant": "channels_last", **row._asdict()}

    return _each(timed, task.sizes.packed)


def evaluation(task: Task) -> Rows:
    """Seconds of the exact neighbours, and of all scores, at the size of Stanford Online Products' test set."""
    rows, dimension, per_class = task.sizes.evaluation
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(rows, dimension, generator=generator)).to(task.device)
    search = ExactNeighbors()
    calls = {"neighbors": lambda: search(embeddings, NEIGHBORS, embeddings, True)}
    seconds = interleaved_medians(calls, task.sizes.rounds, 1, task.device)["neighbors"]
    yield {"kind": "neighbors", "rows": rows, "dimension": dimension, "k": NEIGHBORS, "seconds": seconds}
    row = measure_evaluation(rows, dimension, per_class, torch.device(task.device), task.sizes.rounds)
    yield {"kind": "evaluation", **row._asdict()}


def study(task: Task) -> Rows:
    """Seeds of a small study: one, then as many as fit into the rest of the time."""
    from ..report.write import write_report  # loads the plotting libraries, which takes time

    name, *overrides = task.sizes.study
    runs, seeds, per_seed = task.out / "study", 0, 0.0
    while seeds < task.sizes.most_seeds:
        began = time.monotonic()
        more = 1 if seeds == 0 else min(int(SAFETY * (task.end - began) / per_seed), task.sizes.most_seeds - seeds)
        if more < 1:
            return
        places = [f"seeds={[*range(seeds + more)]}", f"runs={runs}", f"device={task.device}"]
        suite, rest = read_suite(name, [*overrides, *places])
        jobs = list_tasks(suite, list_kinds(suite, rest))
        if failed := train_all(jobs, suite.workers, suite.executor):
            raise RuntimeError(f"{failed} of {len(jobs)} trainings failed: see the files `failed` in {runs}")
        written = write_report(runs, runs / "report")
        per_seed = (time.monotonic() - began) / more
        seeds += more
        yield {"kind": "study", "seeds": seeds, "trainings": len(jobs), "report": str(written[0])}


def _each(measured: Callable[[Any], Rows], these: Sequence[Any]) -> Rows:
    """The rows of each of these, also if another one fails; the first error is raised at the end."""
    first = None
    for this in these:
        try:
            yield from measured(this)
        except Exception as error:
            traceback.print_exc()  # into the log
            first = first or error
    if first is not None:
        raise first


def _config(task: Task, variant: str, batch_size: int, pair: str) -> RunConfig:
    loss, _, method = pair.partition("/")
    config, _ = compose([*task.sizes.training, *VARIANTS[variant], f"loss={loss}", f"method={method}"])
    return replace(config, protocol=replace(config.protocol, batch_size=batch_size))
