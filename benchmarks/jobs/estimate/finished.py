"""What trainings took that have ended."""

import json
from collections import defaultdict
from pathlib import Path

import yaml

from benchmarks.jobs.estimate.cost import Cost, kind_of, mean, scored_images


def costs_of_finished(runs: Path, device_type: str) -> dict[str, Cost]:
    """By kind, the mean over the finished trainings in a folder that ran on this type of device ("cpu", "cuda").

    Damaged folders are left out: the training that wants such a folder says so.
    """
    found = defaultdict(list)
    for done in runs.glob("*/done"):
        folder = done.parent
        try:
            result = json.loads((folder / "result.json").read_text())
            if result["cost"]["device"].split(":")[0] != device_type:
                continue
            identity = yaml.safe_load((folder / "config.yaml").read_text())
            kind, cost = kind_of(identity), _cost(folder, result, identity["protocol"].get("test_scoring", "every"))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue
        found[kind].append(cost)
    return {kind: mean(costs) for kind, costs in found.items()}


def _cost(folder: Path, result: dict, test_scoring: str) -> Cost:
    images, cost = result["data"]["images"], result["cost"]
    test = images["test"] + images.get("gallery", 0)
    scored = scored_images(images["val"], test, len(result["history"]), test_scoring)
    files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    rest = cost["total_seconds"] - cost["train_seconds"]
    return Cost(cost["seconds_per_step"], 0.0, rest / scored, 0, files)
