"""The report's tables as data: columns with what each row has in them. The writers format them.

A new column is one line in one function here, and appears in every form of the report.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..runs.schema import RETRIEVAL
from .cells import Cell, Comparison, Estimate
from .fold_ensemble import FoldEnsemble
from .formatting import setting
from .labels import FEATURES, METRIC_NAMES, counted_epoch, loss_name, method_name, metric_name
from .selection_tables import about_selection
from .study_tables import about_curves, about_study, ranges, searches
from .summary import DataSummary, Summary
from .table import LOSS, METHOD, NAMES, OF_COMPARISON, Cells, Column, Section, Table, percent, table_of
from .uncertainty_section import uncertainty_section
from .verdicts import verdict


def sections(summary: Summary, ensembles: Sequence[FoldEnsemble], longer: dict[str, list[str]]) -> list[Section]:
    """Every section of tables, in the order of the report; ``longer``: sentences on longer tuning, by data set."""
    several = len(summary.data_sets) > 1
    found = []
    for number, data in enumerate(summary.data_sets, start=1):
        on = f" on {data.data}" if several else ""
        together = [ensemble for ensemble in ensembles if ensemble.data == data.data]
        compared = [difference(data, summary), other_metrics(data, longer[data.data])] if data.comparisons else []
        attributed = [attribution(data, summary)] if data.attributions else []
        attributed += [mixture(data, summary)] if data.mixtures else []
        above = [above_features(data)] if data.raw else []
        found += [
            Section(
                f"accuracy-{number}",
                f"Accuracy{on}",
                (),
                (
                    accuracy(data),
                    *compared,
                    *attributed,
                    *above,
                    *([further(data)] if data.task is RETRIEVAL else []),
                    *([fold_ensembles(data, together)] if together else []),
                ),
            ),
            Section(f"selection-{number}", f"Choice of epoch{on}", *about_selection(data)),
            *([uncertainty_section(data, f"uncertainty-{number}", f"Uncertainty{on}")] if data.uncertainty else []),
            Section(f"cost-{number}", f"Cost{on}", (), (cost(data),)),
        ]
    for number, study in enumerate(summary.studies, start=1):
        title = f"Tuning: study {study.name}"
        tables = (searches(study), ranges(study))
        found.append(Section(f"tuning-{number}", title, (about_study(study),), tables, about_curves(study)))
    return found


def _level(metric: str) -> Callable[[Cell], Estimate | float]:
    """A score by the honest rule; of raw features without an interval over seeds, which they do not have."""
    return lambda cell: cell.score(metric).mean if cell.is_raw else cell.score(metric)


def _difference(metric: str, rule: str | None = None) -> Callable[[Comparison], Estimate]:
    return lambda comparison: comparison.difference(metric, rule)


def accuracy(data: DataSummary) -> Table:
    cells: Cells = [
        (LOSS, lambda cell: loss_name(cell.loss)),
        (METHOD, lambda cell: None if cell.is_raw else method_name(cell.method)),
        (Column("Seeds"), lambda cell: None if cell.is_raw else len(cell.seeds)),
        *([(Column("Folds"), lambda cell: len(cell.folds))] if data.task is RETRIEVAL else []),
        *((Column(METRIC_NAMES[metric], digits=1), _level(metric)) for metric in data.task.shown),
    ]
    epoch = counted_epoch(data.rule, "the validation fold")
    caption = f"Test scores in points on {data.data} at the {epoch}: mean over seeds with its 95 % t-interval."
    if data.raw:
        caption += " Raw features are compared by cosine, without training, so they have no seeds."
    return table_of(f"{data.data}-accuracy", "", caption, cells, [*data.raw, *data.cells])


def further(data: DataSummary) -> Table:
    """The scores that papers report beside those above: Recall@K, and of clusters."""
    cells = [*data.raw, *data.cells]
    metrics = [metric for metric in cells[0].metrics if all(metric in cell.metrics for cell in cells)]
    shown = [metric for metric in metrics if metric not in data.task.shown]
    caption = (
        f"Further test scores in points on {data.data} at the same epochs: mean over seeds with its 95 % t-interval."
    )
    if "nmi" in shown:
        caption += " NMI and AMI: agreement of the classes with as many k-means clusters."
    named: Cells = [
        (LOSS, lambda cell: loss_name(cell.loss)),
        (METHOD, lambda cell: None if cell.is_raw else method_name(cell.method)),
        *((Column(metric_name(metric), digits=1), _level(metric)) for metric in shown),
    ]
    return table_of(f"{data.data}-further", "Further metrics", caption, named, cells)


def difference(data: DataSummary, summary: Summary) -> Table:
    caption = (
        f"Test {_tested_metric(data)} on {data.data}, method minus baseline, in points, paired by seed and fold, with "
        "95 % intervals: Student's t, and percentile bootstraps over seeds and over test classes. Smallest p: "
        "attainable with this number of seeds. Detectable: true difference that the Holm-adjusted test finds with a "
        "power of 80 %. "
        f"Equivalence: tests for a true difference within {setting(summary.margin)} points."
    )
    cells = [*OF_COMPARISON, *_tested(len(summary.comparisons), data)]
    return table_of(f"{data.data}-difference", "Difference to the baseline", caption, cells, data.comparisons)


def attribution(data: DataSummary, summary: Summary) -> Table:
    """What each method adds to its controls."""
    caption = (
        f"Test {_tested_metric(data)} on {data.data}, method minus control, in points. A control keeps all of the "
        "method but the part to which its gain is attributed. Columns as in the table above; Holm's correction counts "
        "the comparisons with controls alone."
    )
    control = (Column("Control", kind="text"), lambda c: method_name(c.baseline.method))
    cells = [*OF_COMPARISON, control, *_tested(len(summary.attributions), data)]
    lacking = {(c.baseline.method, c.method.method): c.lacks for c in data.attributions if c.lacks}
    notes = tuple(f"{method_name(one)}: {method_name(of)} without {what}." for (one, of), what in lacking.items())
    return table_of(f"{data.data}-control", "Difference to the control", caption, cells, data.attributions, notes=notes)


def mixture(data: DataSummary, summary: Summary) -> Table:
    """What training on mixtures adds to each loss of a classifier."""
    caption = (
        f"Test {_tested_metric(data)} on {data.data}, trained on mixtures minus trained without, with the same "
        "loss, in points, paired by seed. Columns as in the table above; Holm's correction counts these comparisons "
        "alone."
    )
    cells = [*OF_COMPARISON, *_tested(len(summary.mixtures), data), (Column("Verdict", kind="text"), verdict)]
    title = "Difference to training without mixtures"
    return table_of(f"{data.data}-mixtures", title, caption, cells, data.mixtures)


def _tested_metric(data: DataSummary) -> str:
    return METRIC_NAMES[data.task.primary]


def _tested(family: int, data: DataSummary) -> Cells:
    """Columns of a difference, its intervals and its tests."""
    return [
        (Column(_tested_metric(data), signed=True), lambda c: c.primary),
        (Column("Over seeds", "bootstrap"), lambda c: c.bootstrap),
        (Column("Over classes", "bootstrap"), lambda c: c.over_classes),
        (Column("p", "sign-flip", kind="p"), lambda c: c.p if c.judged else None),
        (Column("p", f"Holm, of {family}", kind="p"), lambda c: c.holm_p if c.judged else None),
        (Column("Smallest p", kind="p"), lambda c: c.smallest_p),
        (Column("Smallest p", "Holm", kind="p"), lambda c: c.smallest_holm_p),
        (Column("Detectable"), lambda c: c.detectable if c.judged else None),
        (Column("Equivalence p", "Holm", kind="p"), lambda c: c.holm_equivalence_p if c.judged else None),
    ]


def above_features(data: DataSummary) -> Table:
    """What training adds to the raw features."""
    above = {(raw.loss, id(c.method)): c for raw in data.raw for c in data.above(raw)}

    def added(loss: str, value: Callable[[Comparison], Any]) -> Callable[[Cell], Any]:
        return lambda cell: value(above[loss, id(cell)])

    cells: list[tuple[Column, Callable[[Any], Any]]] = [*NAMES]
    for raw in data.raw:
        minus = Column(_tested_metric(data), f"minus {FEATURES[raw.loss]}", signed=True)
        cells += [
            (minus, added(raw.loss, lambda c: c.primary)),
            (Column("Over classes", "bootstrap"), added(raw.loss, lambda c: c.over_classes)),
        ]
    caption = (
        f"Test {_tested_metric(data)} on {data.data} in points, minus that of the features that the training "
        "started from, paired by fold, with 95 % t-intervals over the seeds of the training, and bootstraps over test "
        "classes. The features "
        "have no seeds, and these differences are described, not tested."
    )
    return table_of(f"{data.data}-features", "Difference to the raw features", caption, cells, data.cells)


def other_metrics(data: DataSummary, longer: Sequence[str]) -> Table:
    """Differences in the metrics that are not tested; over folds; to the baseline that was tuned longer."""
    cells: list[tuple[Column, Callable[[Any], Any]]] = [
        *OF_COMPARISON,
        *((Column(METRIC_NAMES[m], signed=True), _difference(m)) for m in data.task.shown if m != data.task.primary),
    ]
    caption = "Difference to the baseline in the other metrics, in points, which are described and not tested"
    if "calibration_error" in data.task.shown:
        caption += "; of the calibration error less is better"
    if data.comparisons[0].fold_level:
        caption += "; MAP@R over folds, each averaged over seeds, by the corrected resampled t-test"
        cells += [
            (Column("Over folds", "95 %"), lambda c: c.fold_level and c.fold_level.interval),
            (Column("p", "over folds", kind="p"), lambda c: c.fold_level and c.fold_level.p if c.judged else None),
        ]
    if any(comparison.against_extra for comparison in data.comparisons):
        caption += "; MAP@R against the baseline that was tuned with the methods' extra budget"
        cells.append((Column("MAP@R", "to baseline, tuned longer", signed=True), lambda c: c.against_extra))
    notes = tuple(f"{sentence} This is a reference, not a claim, so no correction counts it." for sentence in longer)
    return table_of(f"{data.data}-metrics", "Other metrics", f"{caption}.", cells, data.comparisons, notes=notes)


def fold_ensembles(data: DataSummary, ensembles: Sequence[FoldEnsemble]) -> Table:
    cells: Cells = [
        *NAMES,
        (Column("Dimensions"), lambda ensemble: ensemble.embedding_size),
        (Column("Separated", digits=1), lambda ensemble: ensemble.separated),
        (Column("Concatenated", digits=1), lambda ensemble: ensemble.concatenated),
        (Column("Concatenated", "minus baseline", signed=True), lambda ensemble: ensemble.difference),
    ]
    caption = (
        f"Test MAP@R on {data.data} in points, with 95 % t-intervals over seeds. Separated: mean of the models of a "
        "seed's folds. Concatenated: their embeddings, concatenated and normalised, as one model."
    )
    return table_of(f"{data.data}-ensembles", "Ensembles of the folds' models", caption, cells, ensembles)


def cost(data: DataSummary) -> Table:
    def slowdown(cell: Any) -> Any:
        comparison = data.comparison(cell)
        return comparison.slowdown if comparison else None

    cells: list[tuple[Column, Callable[[Any], Any]]] = [
        *NAMES,
        (Column("Step", "ms", digits=1), lambda cell: cell.milliseconds_per_step),
        (Column("Images per second", digits=0), lambda cell: cell.images_per_second),
        (Column("Peak memory", "MiB", kind="memory"), lambda cell: cell.peak_memory_bytes),
        (Column("Step time", "× baseline"), slowdown),
    ]
    caption = (
        f"Cost of training on {data.data}: mean over seeds with its 95 % t-interval. Step time is paired with the "
        "baseline's by seed and fold. Peak memory: the highest of all runs, of the whole process on a CPU. Runs that "
        "share a machine slow each other down."
    )
    if any(cell.active_share is not None for cell in data.cells):
        caption += " Active steps: those in which the method made synthetic points."
        cells += [
            (Column("Active steps", "%", digits=1), lambda cell: percent(cell.active_share)),
            (Column("Synthetic points", "per step", digits=1), lambda cell: cell.synthetic_per_step),
        ]
    if any(cell.synthetic_share is not None for cell in data.cells):
        caption += " Chosen: share of the distances between classes that were those of synthetic points."
        cells.append((Column("Chosen", "%", digits=1), lambda cell: percent(cell.synthetic_share)))
    return table_of(f"{data.data}-cost", "", caption, cells, data.cells)


def run_list(summary: Summary) -> Table:
    """One row per run."""
    primary = summary.task.primary
    cells: Cells = [
        (Column("Run", kind="code"), lambda run: run.name),
        (Column("Data", kind="text"), lambda run: run.data),
        (Column("Loss", kind="text"), lambda run: run.loss),
        (Column("Method", kind="text"), lambda run: run.method),
        (Column("Fold"), lambda run: run.fold),
        (Column("Seed"), lambda run: run.seed),
        (Column("Epoch"), lambda run: run.selected().epoch),
        (Column(f"Test {METRIC_NAMES[primary]}"), lambda run: 100 * run.selected().test[primary]),
    ]
    title = f"All {len(summary.all_runs)} runs, named by the hash of their configuration"
    return table_of("runs", "", "Runs used.", cells, summary.all_runs, paper=False, folded=title)
