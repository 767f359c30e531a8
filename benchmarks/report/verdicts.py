"""Verdicts on the comparisons, each with its numbers in one sentence, and cautions on the runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import statistics
from ..runs.reader import Run
from ..runs.schema import RETRIEVAL
from .cells import Comparison
from .formatting import estimate, interval, number, p_sentence, p_value
from .labels import FEATURES, METRIC_NAMES, loss_name, method_name
from .summary import DataSummary, Summary

ALPHA = 0.05
VERDICTS = (
    "established gain", "established loss", "equivalent", "nominally better", "nominally worse", "not established",
    "underpowered", "no verdict",
)  # fmt: skip
NAMED = 5  # runs that a sentence names
RARELY = 0.1  # share of steps below which a method's activity is pointed out


class Finding(NamedTuple):
    verdict: str  # one of VERDICTS
    headline: str
    sentence: str


def verdict(comparison: Comparison) -> str:
    """One of VERDICTS; only the Holm-adjusted exact p establishes a difference.

    equivalent: no difference is established, and the Holm-adjusted equivalence test finds it within the margin.
    nominally better or worse: significant alone, not after the correction for all comparisons of the report.
    underpowered: with these seeds not even the largest difference could be established.
    no verdict: the method's search found the loss alone to be best; or the method never acted, or validation chose the
    untrained model, in at least one run.
    """
    if not comparison.judged:
        return "no verdict"
    if comparison.holm_p <= ALPHA:
        return "established gain" if comparison.primary.mean > 0 else "established loss"
    if within_margin(comparison):
        return "equivalent"
    if comparison.p <= ALPHA:
        return "nominally better" if comparison.primary.mean > 0 else "nominally worse"
    return "underpowered" if comparison.smallest_holm_p > ALPHA else "not established"


def within_margin(comparison: Comparison) -> bool:
    """Whether the equivalence test, adjusted, finds the true difference to be smaller than the margin."""
    return comparison.holm_equivalence_p is not None and comparison.holm_equivalence_p <= ALPHA


def findings(summary: Summary) -> list[Finding]:
    """One for each method against its baseline."""
    return [_finding(comparison, len(summary.data_sets) > 1) for comparison in summary.comparisons]


def attributions(summary: Summary) -> list[Finding]:
    """One for each method against each of its controls."""
    return [_finding(comparison, len(summary.data_sets) > 1) for comparison in summary.attributions]


def _finding(comparison: Comparison, name_data: bool) -> Finding:
    effect, judged = comparison.primary, verdict(comparison)
    method, loss = method_name(comparison.method.method), loss_name(comparison.method.loss)
    where = f" on {comparison.method.data}" if name_data else ""
    headline, than = f"{loss} + {method}{where}", ""
    if comparison.lacks is not None:
        control = method_name(comparison.baseline.method)
        headline += f" against {control}"
        than = f" than with its control {control}" + (f", which lacks {comparison.lacks}" if comparison.lacks else "")
    start = f"With {method}, the test {METRIC_NAMES[comparison.metric]} of {loss} is"
    if judged == "no verdict":
        return Finding(judged, headline, withheld(comparison))
    if not any(effect.per_seed):
        return Finding(judged, headline, f"{start} the same in every run{than.replace('than', 'as', 1)}.")
    direction = "higher" if effect.mean > 0 else "lower"
    start = f"{start} {number(abs(effect.mean))} points {direction}{than}"
    if comparison.num_seeds == 1:
        return Finding(judged, headline, f"{start} with one seed, which allows neither an interval nor a test.")
    numbers = (
        f"{start} (difference {number(effect.mean, signed=True)}, 95\u00a0% interval {interval(effect.interval)}; "
        f"{p_sentence(comparison.p)}, Holm {p_sentence(comparison.holm_p)}; {comparison.num_seeds} seeds)."
    )
    return Finding(judged, headline, f"{numbers} {_certainty(comparison, judged)}")


def withheld(comparison: Comparison) -> str:
    """Why there is no verdict, with the runs; "" where there is one."""
    if comparison.augmentation_off:
        runs = (*comparison.method.runs, *comparison.baseline.runs)
        rejected = next(run.method for run in runs if run.augmentation_off)
        return (
            f"No verdict: the best trial of the search of {method_name(rejected)} has the augmentation off, so these "
            "are trainings of the loss alone with parameters that this search found."
        )
    idle = " and ".join(sorted({method_name(run.method) for run in comparison.inactive}))
    other = "baseline" if comparison.lacks is None else "control"
    reasons = (
        (comparison.inactive, f"{idle} made no synthetic point in any step of"),
        (comparison.identical, f"every evaluation is identical to the {other}'s, so the method had no effect, in"),
        (comparison.untrained, "validation chose the untrained model (epoch 0) in"),
    )
    found = [f"{reason} {_named(runs)}" for runs, reason in reasons if runs]
    return f"No verdict: {'; '.join(found)}." if found else ""


def _named(runs: Sequence[Run]) -> str:
    described = [f"{run.name} ({run.method}, seed {run.seed}, fold {run.fold})" for run in runs[:NAMED]]
    more = f" and {len(runs) - NAMED} more runs" if len(runs) > NAMED else ""
    return ", ".join(described) + more


def longer_tuning(data: DataSummary) -> list[str]:
    """The effect of more trials alone, for each baseline that was tuned longer."""
    found = []
    for longer in data.extended:
        effect, loss = longer.primary, loss_name(longer.method.loss)
        same = {run.name for run in longer.method.runs} == {run.name for run in longer.baseline.runs}
        if same:
            effect_of_trials = "the search with the methods' extra budget found the same trial, hence the same runs"
        else:
            effect_of_trials = (
                f"tuned with the methods' extra budget, MAP@R changes by {estimate(effect, signed=True)} points"
            )
        found.append(f"{loss}, baseline: {effect_of_trials}.")
    return found


def _certainty(comparison: Comparison, judged: str) -> str:
    seeds, family = comparison.num_seeds, comparison.family
    over = f"after Holm's correction for {family} comparisons" if family > 1 else "with the exact test"
    margin = f"{comparison.margin:g} points (TOST, Holm {p_sentence(comparison.holm_equivalence_p or 0)})"
    if judged.startswith("established"):
        small = f" It is small, though: within {margin}." if within_margin(comparison) else ""
        return f"Established at the 5\u00a0% level, {over}.{small}"
    if judged == "equivalent":
        return f"Equivalent at the 5\u00a0% level: the true difference is smaller than {margin}."
    if judged.startswith("nominally"):
        never = f", nor could it be with {seeds} seeds" if comparison.smallest_holm_p > ALPHA else ""
        return f"{judged.capitalize()}, not established: significant alone, but {over} it is not{never}."
    if judged == "not established":
        if comparison.detectable is None:
            return "Not established."
        return (
            f"Not established. A true difference of {number(comparison.detectable)} points or more would have been "
            f"established with a power of 80\u00a0%, {over}; a smaller one may exist."
        )
    floor = p_value(comparison.smallest_p)
    if comparison.smallest_p <= ALPHA:
        floor = f"{p_value(comparison.smallest_holm_p)} {over}"
    return f"Underpowered: with {seeds} seeds p cannot fall below {floor}, however large the difference."


def overview(summary: Summary) -> list[str]:
    """A few sentences above everything else."""
    above = [sentence for data in summary.data_sets for sentence in _above_features(data)]
    if not summary.comparisons:
        return ["Only baselines were run, so nothing is compared.", *above]
    attributed = [_outcome(summary.attributions, "control")] if summary.attributions else []
    return [_outcome(summary.comparisons, "baseline"), *attributed, *above, *_limits(summary)]


def _above_features(data: DataSummary) -> Iterator[str]:
    """The losses and methods that end below the raw features."""
    if data.features is None:
        return
    level = number(data.features.score(data.task.primary).mean)
    preferred = ", which validation prefers" if len(data.raw) > 1 and data.rule == "validation" else ""
    what = f"the {FEATURES[data.features.loss]} (cosine, MAP@R {level}{preferred})"
    compared = data.above(data.features)
    below = [c for c in compared if c.primary.mean < 0]
    if not below:
        yield f"On {data.data}, no loss or method ends below {what}."
        return
    by_loss: dict[str, list[str]] = {}
    for c in below:
        named = f"{method_name(c.method.method)} {number(c.primary.mean, signed=True)}"
        by_loss.setdefault(loss_name(c.method.loss), []).append(named)
    listed = "; ".join(f"{loss} ({', '.join(names)})" for loss, names in by_loss.items())
    open_ones = [c for c in below if c.primary.interval is None or c.primary.interval.high >= 0]
    uncertain = ", ".join(f"{loss_name(c.method.loss)} {method_name(c.method.method)}" for c in open_ones)
    yield (
        f"On {data.data}, {len(below)} of {len(compared)} losses and methods end below {what}: {listed}. "
        + (f"The 95\u00a0% interval over seeds includes 0, or there is none, for {uncertain}. " if uncertain else "")
        + "Differences in points, paired by fold; the features have no seeds, and no correction counts these."
    )


def which_epoch(summary: Summary) -> str:
    """The honest rule; with the data sets where they have several."""
    described = {
        "validation": "the validation fold chooses the epoch",
        "last": "no fold validates, and the last epoch counts",
    }
    by_rule = {rule: [table.data for table in summary.data_sets if table.rule == rule] for rule in described}
    found = {rule: data for rule, data in by_rule.items() if data}
    several = len(found) > 1
    return "; ".join((f"on {', '.join(data)} " if several else "") + described[rule] for rule, data in found.items())


def _outcome(compared: Sequence[Comparison], other: str) -> str:
    """How many comparisons of methods with their baselines, or with their controls, have which verdict."""
    counts, family = Counter(map(verdict, compared)), len(compared)
    between = f"between a method and its {other}"
    comparisons = "one comparison" if family == 1 else f"{family} comparisons"
    gains, losses = counts["established gain"], counts["established loss"]
    none = counts["no verdict"]
    without = f"{none} {'has' if none == 1 else 'have'} no verdict"
    if not gains + losses + counts["equivalent"]:
        start = f"Of {comparisons} {between}, none is established"
        return f"{start}; {without}." if none else f"{start}."
    parts = []
    if gains:
        parts.append(f"{gains} {'is an' if gains == 1 else 'are'} established gain{'s' * (gains > 1)}")
    if losses:
        parts.append(f"{losses} {'is an' if losses == 1 else 'are'} established loss{'es' * (losses > 1)}")
    if equal := counts["equivalent"]:
        parts.append(f"{equal} {'is' if equal == 1 else 'are'} equivalent")
    if rest := family - gains - losses - equal - none:
        parts.append(f"{rest} {'is' if rest == 1 else 'are'} not established")
    if none:
        parts.append(without)
    *first, last = parts
    return f"Of {comparisons} {between}, {', '.join(first)}{' and ' if first else ''}{last}."


def _limits(summary: Summary) -> Iterator[str]:
    comparisons = [comparison for comparison in summary.comparisons if comparison.judged]
    if not comparisons:
        return
    counts = sorted({comparison.num_seeds for comparison in comparisons})
    seeds = " or ".join(f"{n} seed{'s' * (n > 1)}" for n in counts)
    smallest = min(comparison.smallest_p for comparison in comparisons)
    least = min(comparison.smallest_holm_p for comparison in comparisons)
    family = len(summary.comparisons)
    needed = statistics.seeds_to_reach(ALPHA, family)
    if smallest == 1:
        yield (
            f"With {seeds} there is neither an interval nor a test, so nothing can be established. "
            f"At least {needed} seeds per comparison are needed."
        )
    elif least > ALPHA:
        adjusted = f", and {p_value(least)} after the correction for {family} comparisons"
        yield (
            f"With {seeds} nothing can be established here: the smallest attainable p is {p_value(smallest)}"
            f"{adjusted if family > 1 else ''}. At least {needed} seeds per comparison are needed; until then, the "
            "differences and intervals are exploratory."
        )
    else:
        yield (
            f"There are {seeds} per comparison; the smallest attainable p is {p_value(smallest)}, and "
            f"{p_value(least)} after Holm's correction."
        )
    blind = sorted(c.detectable for c in comparisons if c.detectable is not None)
    if blind:
        ends = [number(blind[0]), number(blind[-1])]
        if ends[0] == ends[1]:
            yield f"With this many seeds, true differences below {ends[0]} points are likely to be missed."
        else:
            span = " to ".join(ends)
            yield f"With this many seeds, true differences below {span} points (by comparison) are likely to be missed."


def cautions(summary: Summary) -> list[str]:
    """What may bias the comparisons: differing machines and versions, missing validation, rare augmentation."""
    environments = [run.environment for run in summary.runs]
    found = []
    for key, what in (("commit", "commits"), ("cpu", "CPUs"), ("gpu", "GPUs")):
        values = sorted({str(environment.get(key)) for environment in environments})
        if len(values) > 1:
            found.append(f"The runs come from {len(values)} {what}: {', '.join(values)}.")
    if any(environment.get("dirty") for environment in environments):
        found.append("Some runs were made with uncommitted changes, so their commit does not identify their code.")
    devices = sorted({run.cost.device for run in summary.runs})
    if len(devices) > 1:
        found.append(f"Costs were measured on different devices ({', '.join(devices)}) and do not compare.")
    packages = {str(sorted(environment.get("packages", {}).items())) for environment in environments}
    if len(packages) > 1:
        found.append("The runs were made with different package versions; they are listed below.")
    for comparison in summary.comparisons:
        share = comparison.method.active_share
        if share is not None and 0 < share < RARELY:
            found.append(
                f"{method_name(comparison.method.method)} acted in only {100 * share:.1f}\u00a0% of the steps of "
                f"{loss_name(comparison.method.loss)} on {comparison.method.data}."
            )
    for table in summary.data_sets:
        if table.rule == "last":
            found.append(
                f"On {table.data} no fold validates: the last epoch counts. If the number of epochs or other settings "
                "were chosen on this test set, its scores are optimistic."
            )
    one_fold = {len(cell.folds) for table in summary.data_sets for cell in table.cells} == {1}
    if one_fold and summary.task is RETRIEVAL:
        found.append("There is one fold, so the intervals cover the choice of seed, not that of the training classes.")
    return found
