"""Train a list of jobs and write the report on their directory: what ``suite`` and ``final`` share."""

import math
import threading
import time
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

PAUSE = 120.0  # seconds between preliminary reports, each of which takes some seconds of a core


def train_and_report(
    jobs: Sequence[AnyJob],
    place: Place,
    dry_run: bool,
    before_report: Callable[[Sequence[AnyJob]], object] | None = None,
    rounds: Sequence[Sequence[Job]] = (),
) -> int:
    """Print what the jobs take, train them, and write the report; the exit status, 1 if any training failed.

    Args:
        jobs: all in ``place.runs``.
        place: directories, and what runs the jobs.
        dry_run: only print what they take.
        before_report: called with the jobs when all of them are done.
        rounds: growing parts of the jobs that can be reported; when one is trained, a preliminary report on it is
            written in the place of the one on all.

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
    preliminary = _PreliminaryReports(rounds, len(jobs), Path(place.runs), Path(out))
    failed = train_all(jobs, place.workers, place.executor, preliminary.count)
    preliminary.wait()
    if failed:
        print(f"{failed} of {len(jobs)} trainings failed, so there is no report; the same command tries them again")
        return 1
    if before_report is not None:
        before_report(jobs)
    from ..report.write import write_report  # loads the plotting libraries, which takes time

    for path in write_report(Path(place.runs), Path(out)):
        print(path)
    return 0


class _PreliminaryReports:
    """Reports on the rounds that are trained, written in a thread while the others train.

    The first is written as soon as its round is trained, the others at most once in ``pause`` seconds; then the largest
    round that is trained counts. Rounds that were trained before the command are not reported.
    """

    def __init__(
        self, rounds: Sequence[Sequence[Job]], total: int, runs: Path, out: Path, pause: float = PAUSE
    ) -> None:
        done = {job.folder.name for jobs in rounds for job in jobs if job.is_done()}
        self.rounds = [[job.folder.name for job in jobs] for jobs in rounds]
        self.rounds = [names for names in self.rounds if not done.issuperset(names)]
        self.done = done
        self.total, self.runs, self.out, self.pause = total, runs, out, pause
        self.thread: threading.Thread | None = None
        self.written_at = -math.inf

    def count(self, job: Job) -> None:
        """Note that a job is done."""
        self.done.add(job.folder.name)
        trained = [names for names in self.rounds if self.done.issuperset(names)]
        if not trained or len(self.done) == self.total:
            return
        if (self.thread and self.thread.is_alive()) or time.monotonic() - self.written_at < self.pause:
            return
        self.rounds = [names for names in self.rounds if not self.done.issuperset(names)]
        self.written_at = time.monotonic()
        self.thread = threading.Thread(target=self._write, args=[trained[-1]], daemon=True)
        self.thread.start()

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self.thread:
            self.thread.join()

    def _write(self, names: list[str]) -> None:
        from ..report.write import write_report

        try:
            page = write_report(self.runs, self.out, names=names, total=self.total)[0]
            tqdm.write(f"preliminary report, on {len(names)} of {self.total} trainings: {page}")
        except UserError as error:  # the report on all, which is still to come, says more
            tqdm.write(f"no preliminary report: {error}")
