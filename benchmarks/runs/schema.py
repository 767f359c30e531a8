"""Version, metrics and file names of run directories, studies and fold ensembles; writers and readers import them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

SCHEMA = 3  # of result.json, study.json and the files of fold ensembles; nothing reads another version

PRIMARY = "mean_average_precision_at_r"  # chooses the epoch on validation; tested and corrected for in the report
PER_QUERY = ("precision_at_1", "r_precision", PRIMARY)  # kept for each test query
RECALL_AT = (1, 2, 4, 8)
METRICS = (*PER_QUERY, *(f"recall_at_{k}" for k in RECALL_AT))  # of every evaluation, 0 to 1


class Task(NamedTuple):
    """A kind of training, and what its runs are scored by."""

    name: str
    primary: str  # metric that is tested and corrected for in the report
    per_query: tuple[str, ...]  # metrics kept for each test image
    metrics: tuple[str, ...]  # of every evaluation, 0 to 1
    shown: tuple[str, ...]  # of them, those in the report's tables
    arrays: tuple[str, ...]  # files with what is known of single test images
    shared: tuple[str, ...]  # groups of the configuration that a method shares with its baseline
    own: tuple[str, ...]  # those that make the method


# selection rules, the ones that a report may conclude from first: the best epoch on validation or, where no fold
# validates, the last epoch; the best epoch on the test set is always an oracle
RULES = ("validation", "last", "test")

BASELINE = "none"  # the method of a loss without augmentation
EXTENDED_BASELINE = "none+"  # the baseline tuned with the methods' extra budget

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
RESULT = "result.json"
QUERIES = "queries.npz"  # scores of each test query; of runs that were scored on the test set
GALLERY = "gallery.npz"  # a few test queries with their nearest neighbours; of the same runs
MODEL = "model.json"  # how to build the trained model again; of runs that keep their weights
WEIGHTS = "model.safetensors"  # of that model, at the chosen epoch; not sealed itself, since MODEL has its sha256
DONE = "done"  # sha256 of each of the other files: the run has ended

STUDY = "study.json"
LEDGER = "ledger.jsonl"
BEST = "best.json"


RETRIEVAL = Task(
    "retrieval", PRIMARY, PER_QUERY, METRICS, PER_QUERY, (QUERIES, GALLERY), ("loss", "protocol"), ("method",)
)
CLASSIFICATION = Task(
    "classification",
    primary="top_1",
    per_query=("top_1", "top_5"),
    metrics=("top_1", "top_5", "calibration_error"),
    shown=("top_1", "top_5", "calibration_error"),
    arrays=(QUERIES,),
    shared=("mix", "protocol"),
    own=("loss",),
)
TASKS = {task.name: task for task in (RETRIEVAL, CLASSIFICATION)}
SOFTMAX = "softmax"  # the loss of a classification that the others are compared with


def run_name(identity: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of the sha256 of an identity's canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
