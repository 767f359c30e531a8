"""The epoch that is reported: the best on validation, or the last one; and oracles for comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.schema import PRIMARY


def best_epoch(history: Sequence[Mapping[str, Any]], split: str) -> Mapping[str, Any]:
    """The entry with the largest MAP@R on ``split``; the first of equals.

    Example:
        >>> history = [{"epoch": e, "val": {"mean_average_precision_at_r": v}} for e, v in enumerate([0.1, 0.3, 0.3])]
        >>> best_epoch(history, "val")["epoch"]
        1
    """
    return max(history, key=lambda entry: entry[split][PRIMARY])


def chosen_entry(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The entry that is reported: the best on validation or, where no fold validates, the last one.

    Example:
        >>> chosen_entry([{"epoch": 0, "val": None}, {"epoch": 1, "val": None}])["epoch"]
        1
    """
    return history[-1] if history[-1]["val"] is None else best_epoch(history, "val")


def selection(
    history: Sequence[Mapping[str, Any]], final: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """Scores at the epoch that each rule selects.

    The rule to report is ``validation`` or, where no fold validates, ``last``, which is fixed before the training. The
    others are oracles, since the rule or the epoch is chosen on the test set. There is no rule ``test`` if the epochs
    were not scored on the test set.

    Args:
        history: entries with ``val`` None where no fold validates, and ``test`` None where it was not scored.
        final: test scores of the selected weights, if only those were scored on the test set.
    """
    counts = chosen_entry(history)
    honest = "last" if counts["val"] is None else "validation"
    chosen = {honest: {**counts, "test": counts["test"] if final is None else final}}
    chosen.setdefault("last", dict(history[-1]))
    if counts["test"] is not None:
        chosen["test"] = dict(best_epoch(history, "test"))
    return {
        rule: {"oracle": rule != honest, **{key: entry[key] for key in ("epoch", "val", "test")}}
        for rule, entry in chosen.items()
    }


def scores_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """The loss and all scores of an evaluation by ``split/metric``.

    Example:
        >>> scores_of({"epoch": 3, "loss": 0.5, "val": {"precision_at_1": 0.9}, "test": None})
        {'loss': 0.5, 'val/precision_at_1': 0.9}
    """
    found = {} if entry["loss"] is None else {"loss": entry["loss"]}
    for split in ("val", "test"):
        found |= {f"{split}/{metric}": score for metric, score in (entry[split] or {}).items()}
    return found


def final_scores(history: Sequence[Mapping[str, Any]], final: Mapping[str, float] | None) -> dict[str, float]:
    """The chosen epoch and its scores, by ``chosen/split/metric``.

    Args:
        history: as for :func:`selection`.
        final: as for :func:`selection`.
    """
    counts = dict(chosen_entry(history))
    counts["test"] = counts["test"] if final is None else final
    return {
        "chosen/epoch": float(counts["epoch"]),
        **{f"chosen/{key}": value for key, value in scores_of(counts).items()},
    }
