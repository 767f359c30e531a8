import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.__main__ import main
from benchmarks.config.compose import CONFIGS, compose
from benchmarks.config.targets import check_targets, deferred, resolve
from benchmarks.errors import UserError
from benchmarks.tuning.summary import SCHEMA

FORBIDDEN = [
    "os.system",
    "builtins.eval",
    "numpy.savetxt",
    "torch.save",
    "torch.load",
    "torch.hub.load",
    "timm.create_model",
    "pytorch_metric_learning.utils.common_functions.save_model",
    "benchmarks.runs.writer.write_whole",
    "benchmarks.cli.run.main",
    "pml_augmented.run",
    "torch.nnx.Linear",
]
MALFORMED: list[Any] = ["", "torch", 3, None, ["torch.nn.Linear"], "torch.nn.", "torch.nn/Linear", "${oc.env:HOME}"]


def targets_of(node: Any) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "_target_":
            yield value
        yield from targets_of(value)


SHIPPED = sorted(
    {target for path in CONFIGS.rglob("*.yaml") for target in targets_of(yaml.safe_load(path.read_text()))}
)


@pytest.mark.parametrize("target", SHIPPED)
def test_every_shipped_target_is_allowed_and_exists(target: str) -> None:
    check_targets({"_target_": target})
    assert callable(resolve(target))


@pytest.mark.parametrize("target", FORBIDDEN)
@pytest.mark.parametrize("depth", ["top", "argument", "list"])
def test_a_target_outside_the_list_is_refused_at_every_depth(target: str, depth: str) -> None:
    node: dict[str, Any] = {"_target_": target}
    nodes = {"top": node, "argument": {"_target_": "torch.nn.Sequential", "x": node}, "list": {"x": [1, [node]]}}
    with pytest.raises(UserError, match=f"{target} is not allowed.*--allow {target.split('.')[0]}"):
        check_targets(nodes[depth])


@pytest.mark.parametrize("target", MALFORMED)
def test_a_target_that_is_no_dotted_name_is_refused(target: Any) -> None:
    with pytest.raises(UserError, match=r"x\._target_ must be a dotted name"):
        check_targets({"x": {"_target_": target}}, allow=["torch", "3"])


@pytest.mark.parametrize("target", ["torch.nn.Linear.__init__.__globals__", "torch.nn.__builtins__.eval"])
def test_dunder_names_are_refused(target: str) -> None:
    with pytest.raises(UserError, match="must be a dotted name"):
        check_targets({"_target_": target})


def test_an_allowed_package_is_only_that_package() -> None:
    check_targets({"_target_": "mine.models.Net"}, allow=["mine"])
    check_targets({"_target_": "mine.models.Net"}, allow=["mine.models"])
    for target in ("mine.models.Net", "miner.Net"):
        with pytest.raises(UserError, match="is not allowed"):
            check_targets({"_target_": target}, allow=["mine.losses"])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("torch.nn.modules.module.torch.save", "is no class"),  # a way out through what an allowed module imports
        ("torch.nn.init.math", "must be a class or a function, but is a module"),
        ("benchmarks.training.trainer.TrainingError", "is not allowed: it is defined in benchmarks.errors"),
        ("benchmarks.training.trainer.autocast", "is not allowed: it is defined in benchmarks.training.precision"),
        ("torch.nn.NoSuchLoss", "does not exist"),
        ("nosuchpackage.Net", "there is no module 'nosuchpackage'"),
    ],
)
def test_what_a_name_leads_to_must_be_defined_in_the_list(target: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        resolve(target)


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_here")
    (tmp_path / "breaks.py").write_text("1 / 0")
    with pytest.raises(UserError, match="needs_more.Net cannot be imported: .*a_package_that_is_not_here"):
        resolve("needs_more.Net")
    with pytest.raises(UserError, match="breaks.Net cannot be imported: ZeroDivisionError"):
        resolve("breaks.Net")


def test_nodes_among_the_arguments_become_objects() -> None:
    loss = {
        "_target_": "pytorch_metric_learning.losses.ContrastiveLoss",
        "pos_margin": 0.5,
        "distance": {"_target_": "pytorch_metric_learning.distances.LpDistance", "p": 1},
    }
    built = deferred(loss)(neg_margin=2)
    assert (built.pos_margin, built.neg_margin, built.distance.p) == (0.5, 2, 1)
    assert loss["distance"] == {"_target_": "pytorch_metric_learning.distances.LpDistance", "p": 1}


def test_positional_arguments_come_first() -> None:
    assert deferred({"_target_": "torch.nn.Linear", "_args_": [3, 2]})().weight.shape == (2, 3)


WRITES = "protocol.lr_scheduler={{_target_: numpy.savetxt, fname: '{path}', X: [1]}}"


def test_a_configuration_is_checked_when_it_is_composed(tmp_path: Path) -> None:
    override = WRITES.format(path=tmp_path / "written")
    with pytest.raises(UserError, match=r"protocol\.lr_scheduler\._target_: numpy\.savetxt is not allowed"):
        compose([override])
    config, options = compose([override, "allow=[numpy]"])
    assert config.protocol.lr_scheduler is not None and options.allow == ["numpy"]
    assert "numpy" not in json.dumps(compose(["allow=[numpy]"])[0].identity())


@pytest.mark.parametrize("hidden", [[], ["allow=[numpy]"]])
def test_a_study_that_somebody_sent_runs_nothing(
    hidden: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "studies" / "smoke"
    folder.mkdir(parents=True)
    written = tmp_path / "written"
    study = {
        "schema": SCHEMA,
        "folds": [0], "seed": 100, "trials": 4, "extra_trials": 4, "sampler": "quasi_random", "pruning": None,
        "search": {"data": "glyphs", "comparisons": [{"loss": "multi_similarity", "methods": ["none", "ee"]}]},
        "overrides": ["protocol=smoke", *hidden, WRITES.format(path=written)],
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(study))
    assert main(["final", "smoke", f"runs={tmp_path}", "--dry-run"]) == 2
    assert "numpy.savetxt is not allowed" in capsys.readouterr().err
    assert not written.exists()


def test_packages_of_the_users_own_are_allowed_by_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_losses.py").write_text(
        "from pytorch_metric_learning.losses import TripletMarginLoss\n"
        "class Own(TripletMarginLoss):\n    def __init__(self, **settings):\n        raise ValueError('own code ran')\n"
    )
    words = ["run", "loss=triplet", "loss.criterion._target_=own_losses.Own", f"runs={tmp_path}"]
    assert main(words) == 2
    assert "--allow own_losses" in capsys.readouterr().err
    assert main([*words, "--allow", "numpy", "--allow", "own_losses"]) == 2
    assert "own code ran" in capsys.readouterr().err
