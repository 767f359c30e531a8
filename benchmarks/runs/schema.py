"""Version, metrics and file names of run directories, studies and fold ensembles; writers and readers import them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SCHEMA = 3  # of result.json, study.json and the files of fold ensembles; nothing reads another version

PRIMARY = "mean_average_precision_at_r"  # chooses the epoch on validation; tested and corrected for in the report
PER_QUERY = ("precision_at_1", "r_precision", PRIMARY)  # kept for each test query
RECALL_AT = (1, 2, 4, 8)
PUBLISHED_RECALL_AT = {  # by kind of data, as papers report it
    **dict.fromkeys(("cub", "cars196"), (1, 2, 4, 8, 16, 32)),
    "sop": (1, 10, 100, 1000),
    "inshop": (1, 10, 20, 30, 40, 50),
}
CLUSTERED = ("nmi", "ami")  # of evaluations of the test set with protocol.clustering
RECALL = re.compile(r"recall_at_([1-9]\d{0,5})")
ALWAYS = (*PER_QUERY, "recall_at_1")  # of every evaluation of every data set
METRICS = (*PER_QUERY, *(f"recall_at_{k}" for k in RECALL_AT))  # of evaluations of data that are not published, 0 to 1


class Task(NamedTuple):
    """A kind of training, and what its runs are scored by."""

    name: str
    primary: str  # metric that is tested and corrected for in the report
    metrics: tuple[str, ...]  # of every evaluation, 0 to 1; those of retrieval also have others
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
UNCERTAINTY = "uncertainty.npz"  # what tells right from wrong answers, of runs with protocol.uncertainty
GALLERY = "gallery.npz"  # a few test queries with their nearest neighbours; of the same runs
MODEL = "model.json"  # how to build the trained model again; of runs that keep their weights
WEIGHTS = "model.safetensors"  # of that model, at the chosen epoch; not sealed itself, since MODEL has its sha256
DONE = "done"  # sha256 of each of the other files: the run has ended

STUDY = "study.json"
LEDGER = "ledger.jsonl"
BEST = "best.json"


RETRIEVAL = Task("retrieval", PRIMARY, ALWAYS, PER_QUERY, (QUERIES, GALLERY), ("loss", "protocol"), ("method",))
CLASSIFICATION = Task(
    "classification",
    primary="top_1",
    metrics=("top_1", "top_5", "calibration_error"),
    shown=("top_1", "top_5", "calibration_error"),
    arrays=(QUERIES,),
    shared=("mix", "protocol"),
    own=("loss",),
)
TASKS = {task.name: task for task in (RETRIEVAL, CLASSIFICATION)}
SOFTMAX = "softmax"  # the loss of a classification that the others are compared with


def recall_at(kind: str) -> tuple[int, ...]:
    """The K for which Recall@K is reported on a kind of data.

    Example:
        >>> recall_at("sop"), recall_at("glyphs")
        ((1, 10, 100, 1000), (1, 2, 4, 8))
    """
    return PUBLISHED_RECALL_AT.get(kind, RECALL_AT)


def is_metric(name: str, task: Task) -> bool:
    """Whether an evaluation of the task may have a score of this name."""
    further = task is RETRIEVAL and (name in CLUSTERED or RECALL.fullmatch(name) is not None)
    return name in task.metrics or further


def in_order(metrics: Iterable[str]) -> list[str]:
    """Distinct metrics in the order of the tables: those of each query, Recall@K by K, those of clusters,
    and others as they come.

    Example:
        >>> in_order(["ami", "recall_at_10", "recall_at_2", "precision_at_1"])
        ['precision_at_1', 'recall_at_2', 'recall_at_10', 'ami']
    """
    names = list(dict.fromkeys(metrics))
    recalls = sorted((int(found[1]), name) for name in names if (found := RECALL.fullmatch(name)))
    order = [*PER_QUERY, *(name for _, name in recalls), *CLUSTERED]
    return [*(name for name in order if name in names), *(name for name in names if name not in order)]


def run_name(identity: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of the sha256 of an identity's canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
