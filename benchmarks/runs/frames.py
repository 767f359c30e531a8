"""Results of runs as pandas data frames, for notebooks."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .reader import Evaluated, Run, is_run, read_runs
from .schema import DONE

if TYPE_CHECKING:
    import pandas


def read_results(runs: Path | str, unfinished: str = "refuse") -> "pandas.DataFrame":
    """One row per finished run: what it was, the epoch that validation chose, and the scores there, in points.

    Columns: run, task, data, loss, method, fold, seed; trunk, embedding_size, image_size, images_seen, protocol,
    data_hash, batch_size; rule, epoch; `val_*` and `test_*` by metric, 0 to 100; seconds_per_step, images_per_second,
    peak_memory_bytes, device; synthetic_per_step; commit, started; path. Missing values are NaN or None. Runs that
    differ from trunk to data_hash are not comparable: the report keeps them apart.

    Args:
        runs: the directory that holds the run directories.
        unfinished: "refuse", or "skip" for a suite that is still running.

    Raises:
        UserError: no finished run in `runs`; a damaged one, or an unfinished one with "refuse".
        ModuleNotFoundError: pandas is not installed.

    Example:
        >>> runs = read_results("runs/quickstart")  # doctest: +SKIP
        >>> runs.groupby(["loss", "method"])["test_precision_at_1"].agg(["mean", "count"])  # doctest: +SKIP
    """
    return _frame(_row(run) for run in _runs(runs, unfinished))


def read_histories(runs: Path | str, unfinished: str = "refuse") -> "pandas.DataFrame":
    """One row per evaluation of each finished run, with its scores in points.

    Columns: run, task, data, loss, method, fold, seed; epoch, iterations, train_loss; `val_*` and `test_*` by metric,
    0 to 100.

    Args:
        runs: as of :func:`read_results`.
        unfinished: as of :func:`read_results`.

    Raises:
        UserError: as :func:`read_results`.
        ModuleNotFoundError: pandas is not installed.

    Example:
        >>> curves = read_histories("runs/quickstart")  # doctest: +SKIP
        >>> curves.pivot_table("val_mean_average_precision_at_r", "epoch", "method").plot()  # doctest: +SKIP
    """
    return _frame({**_names(run), **_evaluation(entry)} for run in _runs(runs, unfinished) for entry in run.history)


def _frame(rows: Iterator[dict[str, Any]]) -> "pandas.DataFrame":
    import pandas  # takes a second, and nothing else needs it

    return pandas.DataFrame.from_records(list(rows))


def _runs(folder: Path | str, unfinished: str) -> list[Run]:
    if unfinished not in ("refuse", "skip"):
        raise ValueError(f"unfinished must be 'refuse' or 'skip', but got {unfinished!r}")
    root, names = Path(folder), None
    if unfinished == "skip" and root.is_dir():
        names = [path.name for path in root.iterdir() if is_run(path) and (path / DONE).exists()]
        if not names:
            raise UserError(f"{root} holds no finished run yet")
    return read_runs(root, names)


def _names(run: Run) -> dict[str, Any]:
    return {"run": run.name, "task": run.task.name} | {
        key: getattr(run, key) for key in ("data", "loss", "method", "fold", "seed")
    }


def _row(run: Run) -> dict[str, Any]:
    facts = {key.replace(" ", "_"): value for key, value in run.facts.items()}
    chosen = next(entry for entry in run.history if entry.epoch == run.chosen_epoch)
    test = run.selected().test if run.selection else None
    return {
        **_names(run),
        **facts,
        "batch_size": run.batch_size,
        "rule": run.rule if run.selection else None,
        "epoch": run.chosen_epoch,
        **_points("val", chosen.val),
        **_points("test", test),
        **run.cost._asdict(),
        "synthetic_per_step": None if run.activity is None else run.activity.synthetic_per_step,
        "commit": run.environment.get("commit"),
        "started": run.environment.get("started"),
        "path": str(run.path),
    }


def _evaluation(entry: Evaluated) -> dict[str, Any]:
    own = {"epoch": entry.epoch, "iterations": entry.iterations, "train_loss": entry.loss}
    return {**own, **_points("val", entry.val), **_points("test", entry.test)}


def _points(split: str, scores: dict[str, float] | None) -> dict[str, float]:
    return {f"{split}_{metric}": 100 * score for metric, score in (scores or {}).items()}
