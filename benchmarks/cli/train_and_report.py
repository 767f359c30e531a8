"""Train a list of jobs and write the report on their directory: what ``suite`` and ``final`` share."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from ..config.lists import Place
from ..config.schema import check_folder
from ..errors import UserError
from ..jobs.estimate import estimate
from ..jobs.job import Job
from ..jobs.runner import AnyJob, refuse_other_images, train_all
from ..runs.writer import abandoned


def train_and_report(
    jobs: Sequence[AnyJob],
    place: Place,
    dry_run: bool,
    before_report: Callable[[Sequence[AnyJob]], object] | None = None,
    first: Sequence[Job] = (),
) -> int:
    """Print what the jobs take, train them, and write the report; the exit status, 1 if any training failed.

    Args:
        jobs: all in ``place.runs``.
        place: directories, and what runs the jobs.
        dry_run: only print what they take.
        before_report: called with the jobs when all of them are done.
        first: a part of the jobs that makes a comparison; as soon as it is trained, a report on it alone is written
            in the place of the one on all.

    Raises:
        UserError: the directory holds runs that would make the report impossible.
    """
    out = place.out or f"{place.runs}/report"
    check_folder("out", out)
    if others := abandoned(Path(place.runs), {job.folder.name for job in jobs}):
        raise UserError(
            f"{', '.join(map(str, others))}: unfinished and not among these trainings, so there could be no report; "
            "finish it with the command that began it, move it away, or choose another directory with runs=DIRECTORY"
        )
    refuse_other_images(jobs)
    taken = estimate(jobs, place.workers)
    print(taken)
    if dry_run:
        return 0
    taken.refuse_if_the_disk_would_fill(place.runs)
    first_report = _FirstReport(first, Path(place.runs), Path(out))
    failed = train_all(jobs, place.workers, place.executor, first_report.count)
    first_report.wait()
    if failed:
        print(f"{failed} of {len(jobs)} trainings failed, so there is no report; the same command tries them again")
        return 1
    if before_report is not None:
        before_report(jobs)
    from ..report.write import write_report  # loads the plotting libraries, which takes time

    for path in write_report(Path(place.runs), Path(out)):
        print(path)
    return 0


class _FirstReport:
    """The report on the first jobs, written in a thread when the last of them is done, while the others train."""

    def __init__(self, jobs: Sequence[Job], runs: Path, out: Path) -> None:
        self.names = [job.folder.name for job in jobs]
        self.left = {job.folder.name for job in jobs if not job.is_done()}
        self.runs, self.out = runs, out
        self.thread = threading.Thread(target=self._write, daemon=True)

    def count(self, job: Job) -> None:
        """Note that a job is done."""
        if job.folder.name in self.left:
            self.left.remove(job.folder.name)
            if not self.left:
                self.thread.start()

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self.thread.ident is not None:
            self.thread.join()

    def _write(self) -> None:
        from ..report.write import write_report

        try:
            page = write_report(self.runs, self.out, names=self.names)[0]
            tqdm.write(f"first report, on {len(self.names)} of the trainings: {page}")
        except UserError as error:  # the report on all, which is still to come, says more
            tqdm.write(f"no first report: {error}")
