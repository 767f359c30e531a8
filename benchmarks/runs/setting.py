"""What a result says of its training: task, arm of a comparison, and what all runs of a table have in common."""

from typing import Any

from .checked_json import Fields
from .schema import BASELINE, CLASSIFICATION, RETRIEVAL, SOFTMAX, TASKS, Task


def task_of(result: Fields) -> Task:
    """Retrieval where the result names no task."""
    if not result.has("task"):
        return RETRIEVAL
    name = result.get("task", str)
    if name not in TASKS:
        raise result.impossible("task", name)
    return TASKS[name]


def arm(result: Fields, task: Task) -> dict[str, Any]:
    """Loss, method and fold. Of a classification the mixing goes with the loss, and the loss is the method."""
    loss = result.get("loss", str)
    if task is not CLASSIFICATION:
        return {"loss": loss, "method": result.get("method", str), "fold": result.count("fold")}
    mix = result.get("mix", str)
    mixed = SOFTMAX if mix == "none" else f"{SOFTMAX}+{mix}"
    return {"loss": mixed, "method": BASELINE if loss == SOFTMAX else loss.replace(f"_{SOFTMAX}", "", 1), "fold": 0}


def facts(result: Fields, config: Fields, task: Task) -> dict[str, Any]:
    """What all runs of one table have in common."""
    found = {
        "trunk": result.get("trunk", str),
        "embedding size": None if task is CLASSIFICATION else result.count("embedding_size"),
        "image size": result.count("data.image_size"),
        "images seen": _images_seen(result, config),
        "protocol": _protocol(result),
        "data hash": result.get("data.hash", str),
        "test images equal to a training image": result.count("data.identical") if task is CLASSIFICATION else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _images_seen(result: Fields, config: Fields) -> int | str:
    """The images that the run drew; where patience may end it early, the most that it was allowed to draw."""
    seen = result.count("images_seen")
    if not config.has("protocol.patience"):
        return seen
    batch = result.count("batch_size")
    if config.has("protocol.iterations_per_epoch"):
        iterations = config.count("protocol.iterations_per_epoch")
    else:
        iterations = max(1, result.count("data.images.train") // max(1, batch))
    return f"at most {config.count('protocol.epochs') * iterations * batch:,}"


def _protocol(result: Fields) -> str:
    """Name and version; runs without validation are never of the protocol of others."""
    without = "" if validated(result) else ", without validation"
    return f"{result.get('protocol', str)}, version {result.count('protocol_version')}{without}"


def validated(result: Fields) -> bool:
    """Whether a fold validates."""
    return result.count("data.images.val") > 0
