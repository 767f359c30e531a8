"""Which epoch of a training counts: the validation's choice, and two oracles to compare it with."""

from collections.abc import Mapping, Sequence
from typing import Any

CRITERION = "mean_average_precision_at_r"


def best_epoch(history: Sequence[Mapping[str, Any]], split: str) -> Mapping[str, Any]:
    """The entry with the largest MAP@R on ``split``; the first of equals.

    Example:
        >>> history = [{"epoch": e, "val": {"mean_average_precision_at_r": v}} for e, v in enumerate([0.1, 0.3, 0.3])]
        >>> best_epoch(history, "val")["epoch"]
        1
    """
    return max(history, key=lambda entry: entry[split][CRITERION])


def selection(
    history: Sequence[Mapping[str, Any]], final: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """Scores at the epoch that each rule chooses.

    ``validation`` is the honest rule. ``last`` and ``test`` are oracles: whoever reports them chose the rule, or the
    epoch, by looking at the test set. There is no ``test`` where the epochs were not scored on it.

    Args:
        history: with ``test`` None where the epoch was not scored on the test set.
        final: test scores of the weights that validation chose, where only those were scored.
    """
    best = best_epoch(history, "val")
    chosen = {"validation": {**best, "test": best["test"] if final is None else final}, "last": history[-1]}
    if best["test"] is not None:
        chosen["test"] = best_epoch(history, "test")
    return {
        rule: {"oracle": rule != "validation", **{key: entry[key] for key in ("epoch", "val", "test")}}
        for rule, entry in chosen.items()
    }
