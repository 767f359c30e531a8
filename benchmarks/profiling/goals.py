"""What ``gpu-check`` has measured, beside the goals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .writing import markdown_table

Row = Mapping[str, Any]
WRAPPED = ("multi_similarity + ee", "multi_similarity + iaa", "proxy_anchor + ps", "proxy_anchor + idml_no_mixup")


class Goal(NamedTuple):
    """A goal, and what was measured."""

    name: str
    wanted: float
    at_least: bool  # else at most
    measured: float | None  # None where it was not
    where: str  # of the measurement

    @property
    def is_met(self) -> bool | None:
        """Whether what was measured reaches the goal; None where nothing was."""
        if self.measured is None:
            return None
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


def goals(rows: Sequence[Row]) -> list[Goal]:
    """The goals of a training on one GPU of the latest kind, each with the best that was measured.

    Args:
        rows: of all steps, see :mod:`.gpu_steps`.
    """
    steps, packed = ([row for row in rows if row["kind"] == kind] for kind in ("step", "packed"))
    batches = sorted({row["batch"] for row in steps})
    large = [row for row in steps if row["piece"] == "multi_similarity" and row["batch"] == batches[-1]]
    found = [
        _fastest("images per second, large batch", 5_000, large),
        _fastest("images per second, small batch, several trainings at once", 3_000, packed),
    ]
    for batch in batches or [None]:
        ratios = _ratios([row for row in steps if row["batch"] == batch])
        worst = max(ratios, key=lambda name: ratios[name]) if ratios else ""
        size = "" if batch is None else f", batch {batch}"
        found.append(
            Goal(f"wrapped step relative to the baseline step{size}", 1.03, False, ratios.get(worst), f"worst: {worst}")
        )
    neighbors = [row for row in rows if row["kind"] == "neighbors"]
    seconds = neighbors[-1]["seconds"] if neighbors else None
    where = "{rows:,} x {dimension}, the nearest {k}".format(**neighbors[-1]) if neighbors else ""
    return [*found, Goal("seconds for the exact neighbours", 0.5, False, seconds, where)]


def goals_table(of: Sequence[Goal]) -> str:
    """The goals in markdown."""
    words = {True: "yes", False: "no", None: "not measured"}
    cells = [
        [
            goal.name,
            f"{'at least' if goal.at_least else 'at most'} {goal.wanted:,g}",
            "-" if goal.measured is None else f"{goal.measured:,.0f}" if goal.at_least else f"{goal.measured:.3f}",
            words[goal.is_met],
            "" if goal.measured is None else goal.where,
        ]
        for goal in of
    ]
    return markdown_table(["goal", "wanted", "measured", "met", "where"], cells)


def _fastest(name: str, wanted: float, rows: Sequence[Row]) -> Goal:
    if not rows:
        return Goal(name, wanted, True, None, "")
    best = max(rows, key=lambda row: row["images_per_second"])
    where = f"{best['piece']}, batch {best['batch']}, {best['variant']}"
    return Goal(name, wanted, True, best["images_per_second"], where)


def _ratios(steps: Sequence[Row]) -> dict[str, float]:
    """Time of each wrapped step relative to its baseline, of the variant in which most were measured."""
    of_variants = [
        {row["piece"]: row["images_per_second"] for row in steps if row["variant"] == variant}
        for variant in dict.fromkeys(row["variant"] for row in steps)
    ]
    ratios = [
        {name: speeds[name.partition(" + ")[0]] / speeds[name] for name in WRAPPED if name in speeds}
        for speeds in of_variants
    ]
    return max(ratios, key=len, default={})
