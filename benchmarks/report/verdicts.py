"""What was found and how sure one can be, in plain sentences."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import statistics
from benchmarks.report.formatting import estimate, interval, number, p_value
from benchmarks.report.labels import loss_name, method_name
from benchmarks.report.summary import Comparison, Summary, Table

ALPHA = 0.05
VERDICTS = ("established gain", "established loss", "equivalent", "hint", "not established", "cannot be decided")


class Finding(NamedTuple):
    verdict: str  # one of VERDICTS
    headline: str
    sentence: str


def verdict(comparison: Comparison) -> str:
    """One of VERDICTS; only the Holm-adjusted exact p establishes a difference.

    equivalent: no difference is established, and the Holm-adjusted equivalence test finds it within the margin.
    hint: significant alone, not after the correction for all comparisons of the report.
    cannot be decided: with these seeds not even the largest difference could be established.
    """
    if comparison.holm_p <= ALPHA:
        return "established gain" if comparison.primary.mean > 0 else "established loss"
    if within_margin(comparison):
        return "equivalent"
    if comparison.p <= ALPHA:
        return "hint"
    return "cannot be decided" if comparison.smallest_holm_p > ALPHA else "not established"


def within_margin(comparison: Comparison) -> bool:
    """Whether the equivalence test, adjusted, finds the true difference to be smaller than the margin."""
    return comparison.holm_equivalence_p is not None and comparison.holm_equivalence_p <= ALPHA


def findings(summary: Summary) -> list[Finding]:
    several = len(summary.tables) > 1
    return [_finding(comparison, len(summary.comparisons), several) for comparison in summary.comparisons]


def _finding(comparison: Comparison, family: int, name_data: bool) -> Finding:
    effect, judged = comparison.primary, verdict(comparison)
    method, loss = method_name(comparison.method.method), loss_name(comparison.method.loss)
    where = f" on {comparison.method.data}" if name_data else ""
    headline = f"{loss} + {method}{where}"
    start = f"With {method}, the test MAP@R of {loss} is"
    if not any(effect.per_seed):
        return Finding(judged, headline, f"{start} the same in every run.")
    direction = "higher" if effect.mean > 0 else "lower"
    start = f"{start} {number(abs(effect.mean))} points {direction}"
    if comparison.num_seeds == 1:
        return Finding(
            judged, headline, f"{start} in the one seed there is. One seed has no interval and decides nothing."
        )
    numbers = (
        f"{start} (difference {number(effect.mean, signed=True)}, 95\u00a0% interval {interval(effect.interval)}; "
        f"p = {p_value(comparison.p)}, Holm {p_value(comparison.holm_p)}; {comparison.num_seeds} seeds)."
    )
    return Finding(judged, headline, f"{numbers} {_certainty(comparison, judged, family)}")


def controls(table: Table) -> list[str]:
    """What more trials alone did for each baseline that had them."""
    found = []
    for control in table.controls:
        effect, loss = control.primary, loss_name(control.method.loss)
        same = {run.name for run in control.method.runs} == {run.name for run in control.baseline.runs}
        if same:
            told = "the search with the methods' extra budget ended with the same trial, so its runs are the same"
        else:
            told = f"tuned with the methods' extra budget, MAP@R changes by {estimate(effect, signed=True)} points"
        found.append(f"{loss}, baseline: {told}.")
    return found


def _certainty(comparison: Comparison, judged: str, family: int) -> str:
    seeds = comparison.num_seeds
    over = f"after Holm's correction for {family} comparisons" if family > 1 else "with the exact test"
    margin = f"{comparison.margin:g} points (TOST, Holm p = {p_value(comparison.holm_equivalence_p or 0)})"
    if judged.startswith("established"):
        small = f" It is small, though: within {margin}." if within_margin(comparison) else ""
        return f"Established at the 5\u00a0% level, {over}.{small}"
    if judged == "equivalent":
        return f"Equivalent at the 5\u00a0% level: the true difference is smaller than {margin}."
    if judged == "hint":
        never = f", nor could it be with {seeds} seeds" if comparison.smallest_holm_p > ALPHA else ""
        return f"A hint, not established: alone it would be significant, {over} it is not{never}."
    if judged == "not established":
        if comparison.detectable is None:
            return "Not established."
        return (
            f"Not established. A true difference of {number(comparison.detectable)} points or more would probably have "
            f"been, {over}; a smaller one may well exist."
        )
    floor = p_value(comparison.smallest_p)
    if comparison.smallest_p <= ALPHA:
        floor = f"{p_value(comparison.smallest_holm_p)} {over}"
    return f"Cannot be decided: with {seeds} seeds p cannot fall below {floor}, however large the difference."


def overview(summary: Summary) -> list[str]:
    """One to three sentences above everything else."""
    comparisons = summary.comparisons
    if not comparisons:
        return ["Only baselines were run, so nothing is compared; the levels below stand for themselves."]
    counts = Counter(verdict(comparison) for comparison in comparisons)
    return [_outcome(counts, len(comparisons)), *_limits(summary)]


def which_epoch(summary: Summary) -> str:
    """The honest rule; with the data sets where they have several."""
    told = {
        "validation": "the validation fold chooses the epoch",
        "last": "no fold validates, and the last epoch counts",
    }
    by_rule = {rule: [table.data for table in summary.tables if table.rule == rule] for rule in told}
    found = {rule: data for rule, data in by_rule.items() if data}
    return "; ".join((f"on {', '.join(data)} " if len(found) > 1 else "") + told[rule] for rule, data in found.items())


def _outcome(counts: Counter[str], family: int) -> str:
    comparisons = "one comparison" if family == 1 else f"{family} comparisons"
    gains, losses = counts["established gain"], counts["established loss"]
    if not gains + losses + counts["equivalent"]:
        return f"Of {comparisons} between a method and its baseline, none is established."
    parts = []
    if gains:
        parts.append(f"{gains} {'is an' if gains == 1 else 'are'} established gain{'s' * (gains > 1)}")
    if losses:
        parts.append(f"{losses} {'is an' if losses == 1 else 'are'} established loss{'es' * (losses > 1)}")
    if equal := counts["equivalent"]:
        parts.append(f"{equal} {'is' if equal == 1 else 'are'} equivalent")
    if rest := family - gains - losses - equal:
        parts.append(f"{rest} {'is' if rest == 1 else 'are'} not established")
    return f"Of {comparisons} between a method and its baseline, {', '.join(parts)}."


def _limits(summary: Summary) -> Iterator[str]:
    comparisons = summary.comparisons
    counts = sorted({comparison.num_seeds for comparison in comparisons})
    seeds = " or ".join(f"{n} seed{'s' * (n > 1)}" for n in counts)
    smallest = min(comparison.smallest_p for comparison in comparisons)
    least = min(comparison.smallest_holm_p for comparison in comparisons)
    needed = statistics.seeds_to_reach(ALPHA, len(comparisons))
    if smallest == 1:
        yield (
            f"With {seeds} there is neither an interval nor a test, so nothing can be established. "
            f"It takes {needed} seeds a comparison."
        )
    elif least > ALPHA:
        adjusted = f", and {p_value(least)} after the correction for {len(comparisons)} comparisons"
        yield (
            f"With {seeds} nothing can be established here: the smallest p within reach is {p_value(smallest)}"
            f"{adjusted if len(comparisons) > 1 else ''}. It takes {needed} seeds a comparison. "
            "Read the differences and intervals as a first look, not as a result."
        )
    else:
        yield (
            f"There are {seeds} a comparison; the smallest p within reach is {p_value(smallest)}, and "
            f"{p_value(least)} after Holm's correction."
        )
    blind = sorted(c.detectable for c in comparisons if c.detectable is not None)
    if blind:
        ends = [number(blind[0]), number(blind[-1])]
        if ends[0] == ends[1]:
            yield f"A difference below {ends[0]} points is too small for this many seeds to find reliably."
        else:
            yield (
                f"Differences below {' to '.join(ends)} points (by comparison) are too small for this many seeds to "
                "find reliably."
            )


def cautions(summary: Summary) -> list[str]:
    """What a sceptical reader should know about where these runs come from."""
    environments = [run.environment for run in summary.runs]
    found = []
    for key, what in (("commit", "commits"), ("cpu", "CPUs"), ("gpu", "GPUs")):
        values = sorted({str(environment.get(key)) for environment in environments})
        if len(values) > 1:
            found.append(f"The runs come from {len(values)} {what}: {', '.join(values)}.")
    if any(environment.get("dirty") for environment in environments):
        found.append("Some runs were made with uncommitted changes, so their commit does not name their code.")
    devices = sorted({run.cost.device for run in summary.runs})
    if len(devices) > 1:
        found.append(f"Costs were measured on different devices ({', '.join(devices)}) and do not compare.")
    packages = {str(sorted(environment.get("packages", {}).items())) for environment in environments}
    if len(packages) > 1:
        found.append("The runs were made with different package versions; they are listed below.")
    for table in summary.tables:
        if table.rule == "last":
            found.append(
                f"On {table.data} no fold validates: the last epoch counts, and whoever chose the length of the "
                "training or other settings by this test set made its numbers too high."
            )
    if {len(cell.folds) for table in summary.tables for cell in table.cells} == {1}:
        found.append("There is one fold, so the spread shown is that of the seed, not that of the training classes.")
    return found
