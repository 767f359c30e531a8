"""Train a list of jobs, then write the report on them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.config.lists import Place
from benchmarks.config.schema import check_folder
from benchmarks.errors import UserError
from benchmarks.jobs.estimate import estimate
from benchmarks.jobs.runner import TrainingJob, refuse_other_images, train_all
from benchmarks.runs.writer import abandoned


def train_and_report(
    tasks: Sequence[TrainingJob],
    place: Place,
    dry_run: bool,
    before_report: Callable[[Sequence[TrainingJob]], object] | None = None,
) -> int:
    """Say what the tasks take, train them, and write the report on their folder; 1 if any training failed.

    Args:
        tasks: all in ``place.runs``.
        place: where and with how many workers.
        dry_run: only say it.
        before_report: called with the tasks when all of them are done.

    Raises:
        UserError: if the report could not be written, whatever became of the tasks.
    """
    out = place.out or f"{place.runs}/report"
    check_folder("out", out)
    if others := abandoned(Path(place.runs), {task.folder.name for task in tasks}):
        raise UserError(
            f"{', '.join(map(str, others))}: unfinished and not in this list, so there could be no report; end it by "
            "the command that began it, move it away, or say runs=ANOTHER_FOLDER"
        )
    refuse_other_images(tasks)
    taken = estimate(tasks, place.workers, place.engine)
    print(taken)
    if dry_run:
        return 0
    taken.refuse_if_the_disk_would_fill(place.runs)
    failed = train_all(tasks, place.workers, place.engine)
    if failed:
        print(f"{failed} of {len(tasks)} trainings failed, so there is no report; the same command tries them again")
        return 1
    if before_report is not None:
        before_report(tasks)
    from benchmarks.report.write import write_report  # the figures' libraries are not worth loading before

    for path in write_report(Path(place.runs), Path(out)):
        print(path)
    return 0
