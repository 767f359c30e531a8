"""Which epoch of a training counts: the validation's choice or else the last one, and oracles to compare it with."""

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


def chosen_entry(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The entry that counts: the best on validation or, where no fold validates, the last, which nothing chose.

    Example:
        >>> chosen_entry([{"epoch": 0, "val": None}, {"epoch": 1, "val": None}])["epoch"]
        1
    """
    return history[-1] if history[-1]["val"] is None else best_epoch(history, "val")


def selection(
    history: Sequence[Mapping[str, Any]], final: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """Scores at the epoch that each rule chooses.

    ``validation`` is the honest rule, and where no fold validates ``last``, fixed before the training. The others are
    oracles: whoever reports them chose the rule, or the epoch, by looking at the test set. There is no ``test`` where
    the epochs were not scored on it.

    Args:
        history: with ``val`` None where no fold validates, ``test`` None where the epoch was not scored on it.
        final: test scores of the weights that count, where only those were scored.
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
