"""Canned run directories: the structure of real ones, with simulated numbers."""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.runs.done import seal
from benchmarks.runs.schema import PER_QUERY, PRIMARY, SCHEMA, run_name

EPOCHS = 6
# (loss, method) -> test MAP@R of the baseline, and what the method adds
LEVELS = {"multi_similarity": 0.58, "triplet": 0.56, "normalized_softmax": 0.54, "proxy_anchor": 0.55}


class CannedRuns:
    """Writes finished run directories into ``root``."""

    def __init__(self, root: Path, picture_size: int = 8, queries: int = 6) -> None:
        self.root = root
        self.picture_size = picture_size
        self.queries = queries

    def write(self, loss: str = "multi_similarity", method: str = "none", fold: int = 0, seed: int = 0,
              map_at_r: float | None = None, seconds: float = 0.01, params: dict[str, Any] | None = None,
              **changes: Any) -> Path:  # fmt: skip
        """One run. ``map_at_r``: test MAP@R at the epoch that validation chose; by default simulated.

        ``params``: values of the config by dotted key. ``changes``: entries of result.json, nested keys with two
        underscores (``data__hash="other"``); the config notes them, so that the run has a name of its own.
        """
        result = self._result(loss, method, fold, seed, map_at_r, seconds)
        config = {
            "data": {"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 32, "num_classes": 100},
            "loss": {"name": loss, "criterion": {"_target_": f"losses.{loss}"}},
            "method": {"name": method},
            "trunk": {"name": "small_cnn"},
            "protocol": {"name": "quickstart", "version": 1},
            "fold": fold,
            "seed": seed,
        }
        for key, value in changes.items():
            put(result, key.split("__"), value)
        for key, value in (params or {}).items():
            put(config, key.split("."), value)
        if changes:
            config["note"] = json.dumps(changes, sort_keys=True, default=str)
        result["run"] = run_name(config)
        folder = self.root / result["run"]
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.dump(config, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
        (folder / "environment.json").write_text(json.dumps({**ENVIRONMENT, "data_hash": result["data"]["hash"]}))
        self._queries(folder, result, method, seed, fold)
        self._gallery(folder, method, fold, gain=METHOD_GAIN.get(method, 0.0))
        self.finish(folder, result)
        return folder

    def raw(self, standardized: bool = False, fold: int = 0, map_at_r: float = 0.5, validation: float = 0.5,
            **more: Any) -> Path:  # fmt: skip
        """The raw features, or standardised; ``validation``: their validation MAP@R."""
        loss = "raw_standardized" if standardized else "raw"
        free = {"seconds_per_step": 0.0, "images_per_second": 0.0, "peak_memory_bytes": None, "device": "cpu"}
        folder = self.once(
            loss,
            "none",
            fold,
            0,
            map_at_r=map_at_r,
            cost=free,
            embedding_size=1280,
            images_seen=0,
            batch_size=0,
            **more,
        )

        def without_training(result: dict[str, Any]) -> None:
            result["history"] = [{**result["history"][0], "val": scores(validation)}]
            for chosen in result["selection"].values():
                chosen["epoch"] = 0

        self.edit(folder, without_training)
        return folder

    def suite(self, losses: Iterable[str], methods: Iterable[str], seeds: int, folds: int = 1) -> Path:
        for loss in losses:
            for method in ("none", *methods):
                for seed in range(seeds):
                    for fold in range(folds):
                        self.write(loss, method, fold, seed)
        return self.root

    def once(self, loss: str, method: str, fold: int = 0, seed: int = 0, **more: Any) -> Path:
        """A run whose test set was scored once, with the weights that validation chose."""
        folder = self.write(loss, method, fold, seed, test_scorings=1, audit=AUDIT, **more)

        def without_oracles(result: dict[str, Any]) -> None:
            for entry in result["history"]:
                entry["test"] = None
            result["selection"]["last"]["test"] = None
            del result["selection"]["test"]

        self.edit(folder, without_oracles)
        return folder

    def unvalidated(self, loss: str, method: str, seed: int = 0, **more: Any) -> Path:
        """A run on the whole training half; ``map_at_r`` is the test MAP@R at the last epoch."""
        without = {**AUDIT, "validation": dict.fromkeys(COUNTS, 0)}
        folder = self.write(
            loss, method, 0, seed, test_scorings=EPOCHS, audit=without, data__images__val=0, data__classes__val=0,
            **more,
        )  # fmt: skip
        folder = self.edit_config(folder, "protocol", num_folds=1)

        def without_validation(result: dict[str, Any]) -> None:
            selection, last = result["selection"], result["history"][-1]
            last["test"] = selection.pop("validation")["test"]
            selection["last"] = {"oracle": False, "epoch": last["epoch"], "val": None, "test": last["test"]}
            for entry in (*result["history"], selection["test"]):
                entry["val"] = None

        self.edit(folder, without_validation)
        return folder

    def study(self, name: str = "small", loss: str = "triplet", methods: Iterable[str] = ("ee",), trials: int = 6,
              best: int = 3, **changes: Any) -> Path:  # fmt: skip
        """A study of ``loss``: baseline, each method, and the baseline with twice the trials; trial ``best`` wins.

        ``changes``: entries of study.json, cells by name with two underscores.
        """
        folder = self.root / "studies" / name
        folder.mkdir(parents=True)
        space = {"loss.margin": {"low": 0.0, "high": 1.0, "log": False}}
        cells, lines, chosen = {}, [], {}
        for method in ("none", *methods, "none+"):
            budget = 2 * trials if method == "none+" else trials
            own = {} if method.startswith("none") else {"method.strength": {"low": 0.01, "high": 10.0, "log": True}}
            cell = f"{loss}/{method}"
            cells[cell] = {"space": {**space, **own}, "budget_trials": budget, "budget_images": 9600 * budget}
            random = np.random.default_rng([len(method), *method.encode()])
            for trial in range(budget):
                params = {key: round(float(random.uniform(0.1, 0.9)), 3) for key in {**space, **own}}
                failed = trial == 1
                line = {
                    "study": name, "cell": cell, "trial": trial, "params": params, "augmentation_off": False,
                    "folds": [{"fold": 0, "score": 0.5, "images": 9600, "seconds": 60.0, "run": "0" * 12}],
                    "score": None if failed else round(0.5 + 0.1 * float(random.random()) + 0.2 * (trial == best), 6),
                    "images": 9600, "seconds": 60.0, "outcome": "failed" if failed else "complete",
                    "error": "FloatingPointError: the loss became nan" if failed else None,
                    "started": "2024-01-01T00:00:00+00:00", "ended": "2024-01-01T00:01:00+00:00", "worker": "made up",
                }  # fmt: skip
                lines.append(line)
                if trial == best:
                    edge = ["method.strength"] if own else []
                    chosen[cell] = {"trial": trial, "params": params, "augmentation_off": False,
                                    "score": line["score"], "on_edge": edge}  # fmt: skip
        described = {
            "schema": SCHEMA, "study": name, "data": "glyphs", "protocol": "quickstart", "folds": [0], "seed": 0,
            "objective": "mean over folds of best validation mean_average_precision_at_r",
            "sampler": "quasi_random", "trials": trials, "cells": cells,
        }  # fmt: skip
        for key, value in changes.items():
            put(described, key.split("__"), value)
        (folder / "study.json").write_text(json.dumps(described, indent=1))
        (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "best.json").write_text(json.dumps(chosen, indent=1))
        return folder

    def tuned(self, study: Path, method: str, fold: int = 0, seed: int = 0, **more: Any) -> Path:
        """The final run of a cell of a study of triplet."""
        best = json.loads((study / "best.json").read_text())[f"triplet/{method}"]
        trial = {"study": study.name, "trial": best["trial"]}
        plain = "none" if method == "none+" or best["augmentation_off"] else method
        return self.once("triplet", plain, fold, seed, params=best["params"], tuned=trial, **more)

    def together(self, runs: list[Path], concatenated: float) -> None:
        """The concatenation of a seed's folds."""
        results = [json.loads((run / "result.json").read_text()) for run in runs]
        separated = float(np.mean([r["selection"]["validation"]["test"][PRIMARY] for r in results]))
        content = {
            "schema": SCHEMA, "data": "glyphs", "loss": results[0]["loss"], "method": results[0]["method"],
            "seed": results[0]["seed"], "tuned": results[0].get("tuned"), "runs": [run.name for run in runs],
            "separated": scores(separated), "concatenated": scores(concatenated),
            "embedding_size": 64 * len(runs),
        }  # fmt: skip
        folder = self.root / "concatenated"
        folder.mkdir(exist_ok=True)
        name = hashlib.sha256(json.dumps(content["runs"]).encode()).hexdigest()[:12]
        (folder / f"{name}.json").write_text(json.dumps(content))

    def finish(self, folder: Path, result: dict[str, Any]) -> None:
        (folder / "result.json").write_text(json.dumps(result))
        self.reseal(folder)

    def reseal(self, folder: Path) -> None:
        """Mark a run as done with its files as they are now."""
        (folder / "done").write_bytes(seal(folder))

    def edit(self, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a finished run's result as if it had been written so."""
        result = json.loads((folder / "result.json").read_text())
        change(result)
        self.finish(folder, result)

    def edit_config(self, folder: Path, group: str, **changes: Any) -> Path:
        """Change a finished run's config as if it had been trained so; its new directory."""
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config[group].update(changes)
        (folder / "config.yaml").write_text(yaml.dump(config, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
        renamed = folder.rename(folder.with_name(run_name(config)))
        self.edit(renamed, lambda result: result.update(run=renamed.name))
        return renamed

    def _result(self, loss: str, method: str, fold: int, seed: int, map_at_r: float | None,
                seconds: float) -> dict[str, Any]:  # fmt: skip
        shared = np.random.default_rng([seed, fold])
        own = np.random.default_rng([seed, fold, *method.encode(), *loss.encode()])
        level = LEVELS.get(loss, 0.5) + 0.01 * shared.normal() + METHOD_GAIN.get(method, 0.0) + 0.004 * own.normal()
        chosen = level if map_at_r is None else map_at_r
        step = seconds * (1.2 if method != "none" else 1.0) * (1 + 0.1 * own.random())
        rise = 1 - np.exp(-np.arange(EPOCHS) / 1.3)
        noise = 0.004 * own.normal(size=EPOCHS)
        history = [
            {"epoch": epoch, "iterations": 50 * epoch, "loss": None if epoch == 0 else 1 / epoch,
             "val": scores(0.15 + (chosen + 0.04 - 0.15) * rise[epoch] + noise[epoch]),
             "test": scores(0.12 + (chosen - 0.12) * rise[epoch])}
            for epoch in range(EPOCHS)
        ]  # fmt: skip

        def rule(oracle: bool, epoch: int, gain: float) -> dict[str, Any]:
            return {"oracle": oracle, "epoch": epoch, "val": history[epoch]["val"], "test": scores(chosen + gain)}

        return {
            "schema": SCHEMA, "run": "", "loss": loss, "method": method, "fold": fold, "seed": seed,
            "data": {"name": "glyphs", "hash": "5e1f" * 16, "image_size": 32, "channels": 1,
                     "classes": {"train": 38, "val": 12, "test": 50},
                     "images": {"train": 460, "val": 150, "test": 610}},
            "trunk": "small_cnn", "embedding_size": 64, "protocol": "quickstart", "protocol_version": 1,
            "batch_size": 32, "images_seen": 9600,
            "method_activity": ACTIVITY if method in ("ee", "ps") else None,
            "selection": {"validation": rule(False, 4, 0.0), "last": rule(True, 5, 0.002 * own.normal()),
                          "test": rule(True, 3, 0.003 + 0.002 * own.random())},
            "history": history,
            "cost": {"seconds_per_step": step, "images_per_second": 32 / step, "peak_memory_bytes": 600 * 2**20,
                     "train_seconds": 10.0, "total_seconds": 12.0, "device": "cpu", "threads": 1},
        }  # fmt: skip

    def _queries(self, folder: Path, result: dict[str, Any], method: str, seed: int, fold: int) -> None:
        """Scores of 60 queries of 12 classes that average to the run's own."""
        random = np.random.default_rng([seed, fold, *method.encode()])
        noise = 0.02 * random.normal(size=12)[np.arange(60) % 12] + 0.05 * random.normal(size=60)
        test = result["selection"]["validation"]["test"] or {}
        shifted = {metric: value + noise - noise.mean() for metric, value in test.items() if metric in PER_QUERY}
        np.savez(folder / "queries.npz", labels=50 + np.arange(60) % 12, **shifted)

    def _gallery(self, folder: Path, method: str, fold: int, gain: float, neighbors: int = 6) -> None:
        queries, size = self.queries, self.picture_size
        fixed = np.random.default_rng(fold)
        own = np.random.default_rng([fold, *method.encode()])
        query_label = fixed.integers(50, 100, queries)
        right = own.random((queries, neighbors)) < 0.6 + gain
        neighbor_label = np.where(right, query_label[:, None], 50 + (query_label[:, None] - 49) % 50)
        arrays = {
            "query": fixed.permutation(600)[:queries],
            "neighbors": own.integers(0, 600, (queries, neighbors)),
            "query_label": query_label,
            "neighbor_label": neighbor_label,
            "query_image": picture(query_label, 0, size),
            "neighbor_image": np.stack(
                [picture(column, 1 + i, size) for i, column in enumerate(neighbor_label.T)], axis=1
            ),
        }
        np.savez(folder / "gallery.npz", **arrays)


def put(place: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value


COUNTS = {"shared_classes": 0, "identical": 0, "near_identical": 2, "images": 610}
AUDIT = {**COUNTS, "threshold": 0.995, "twins_allowed": 0.03, "identical_allowed": 0,
         "validation": {**COUNTS, "images": 150}, "examples": [["U+1E32", "U+0136"]]}  # fmt: skip
ACTIVITY = {"steps": 300, "active_steps": 300, "synthetic_per_step": 64.0}
METHOD_GAIN = {"ee": 0.012, "ps": -0.004}
ENVIRONMENT = {
    "python": "3.12.1", "platform": "Linux", "cpu": "made-up CPU", "gpu": None,
    "packages": {"numpy": "2.0.0", "torch": "2.8.0"}, "commit": "0" * 40, "dirty": False,
    "data_hash": "5e1f" * 16, "started": "2024-01-02T03:04:05+00:00",
}  # fmt: skip


def scores(map_at_r: float) -> dict[str, float]:
    values = {"mean_average_precision_at_r": map_at_r, "r_precision": 0.1 + 0.9 * map_at_r,
              "precision_at_1": 0.5 + 0.5 * map_at_r}  # fmt: skip
    return {**values, **{f"recall_at_{k}": values["precision_at_1"] for k in (1, 2, 4, 8)}}


def picture(labels: np.ndarray, variant: int, size: int = 32) -> np.ndarray:
    """(n, size, size, 1): a pattern of 8 x 8 blocks for each class, a little different in each variant."""
    large = np.array([pattern(int(label)) for label in labels]).repeat(size // 8, 1).repeat(size // 8, 2)
    return np.roll(large * 200, variant, axis=1)[..., None]


@cache
def pattern(label: int) -> np.ndarray:
    """(8, 8) of 0 and 1, of a class."""
    return np.random.default_rng(label).integers(0, 2, (8, 8)).astype(np.uint8)
