"""What ``choose`` says: beforehand what it will do, and at the end what it found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...jobs.runner import TrainingJob
from ..cells import Cell, trial_config
from ..study import StudyConfig
from ..summary import why_no_score
from .budget import REPORT_SECONDS
from .clock import Clock, minutes
from .decision import Decision, Scored, difference
from .stages import Searched
from .state import State


def plan(study: StudyConfig, cells: Sequence[Cell], state: State, clock: Clock) -> str:
    """What will be done in the time."""
    assert state.search is not None
    config, _ = trial_config(study, cells[0], {})
    steps = state.search.epochs * (config.protocol.iterations_per_epoch or 0)
    length = f"{steps:,} steps" if steps else f"{state.search.epochs} epochs"
    names = ", ".join(cell.name for cell in cells)
    rest = max(0.0, clock.left - state.search.seconds - REPORT_SECONDS)
    return "\n".join(
        [
            f"plan for {minutes(clock.left)}, by the pace of short trainings:",
            f"  search  {minutes(state.search.seconds):>12}  {state.search.trials} trials of {length} for each of "
            f"{len(cells)} searches: {names}",
            f"  final   {minutes(rest):>12}  the best few again, over folds and seeds that the search did not use",
            f"  finish  {minutes(REPORT_SECONDS):>12}  the winner on all classes, its model, and the report",
        ]
    )


def final_plan(found: Searched, state: State) -> str:
    """What the search found, and what is trained again."""
    assert state.finals is not None
    assert state.search is not None
    finals, planned = state.finals, state.search.trials
    short = "" if state.trials == planned else f" ({planned} were planned, but the time for them was over)"
    scores = [f"  {name:<28} {100 * line['score']:.1f}" for name, line in sorted(found.best.items(), key=_falling)]
    return "\n".join(
        [
            f"validation MAP@R of the best of {state.trials} trials{short}, fold {found.study.folds[0]}:",
            *scores,
            f"final: {', '.join(finals.arms)} on fold {', '.join(map(str, finals.folds))} with {finals.seeds} seeds, "
            f"{finals.trainings} trainings of about {minutes(finals.seconds)}",
        ]
    )


def nothing_learnt(found: Searched) -> str:
    """The answer where no trial of any search improved on the head as it was before training."""
    reasons = [f"  {cell.name}: {why_no_score(cell, found.lines)}" for cell in found.cells]
    return "\n".join(["no loss beats the raw features: use those, by cosine", *reasons])


def _falling(item: tuple[str, Mapping[str, float]]) -> float:
    return -item[1]["score"]


def answer(decision: Decision, found: Searched, kept: tuple[TrainingJob, Path]) -> str:
    """What was chosen and by what, or that nothing beats the raw features; and where its model lies."""
    raw, best = decision.raw, decision.arms[0]
    lines = [f"validation MAP@R, mean over folds and {len(best.validation)} seeds; in brackets, test:"]
    lines += [f"  {arm.name:<28} {_scores(arm)}" for arm in [*decision.arms, raw]]
    trained, model = kept
    if decision.winner is None:
        lines += [
            f"nothing surely beats {_features(raw.name)}: {best.name}, the best, by {decision.over_raw} points. Use "
            "them by cosine; more images, other features or more minutes may change that",
            f"model: {model}, of {_features(raw.name)} themselves",
        ]
        return "\n".join(lines)
    lines.append(f"chosen, by validation: {best.name}, {decision.over_raw} points above {_features(raw.name)}")
    if decision.over_baseline is not None:
        sure = "" if decision.over_baseline.is_gain else ": not established, the loss alone may do as well"
        lines.append(f"  over its loss alone, on validation: {decision.over_baseline} points{sure}")
    elif len(decision.arms) > 1:
        second = difference(best.validation, decision.arms[1].validation)
        lines.append(f"  over {decision.arms[1].name}, the next, on validation: {second} points")
    lines += [
        f"  {' '.join(f'{key}={_number(value)}' for key, value in found.best[best.name]['params'].items())}",
        f"test MAP@R of the final runs: {best.test.mean():.1f}, {_features(raw.name)} {raw.test.mean():.1f}; the "
        "report has the pairs, their intervals and p-values",
        f"model: {model}, trained on all classes for {trained.config.protocol.epochs} epochs, the median that "
        "validation chose; no test score is claimed for it",
    ]
    return "\n".join(lines)


def _scores(arm: Scored) -> str:
    return f"{arm.validation.mean():.1f} ({arm.test.mean():.1f})"


def _features(name: str) -> str:
    return "the standardised features" if name == "raw_standardized" else "the raw features"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
