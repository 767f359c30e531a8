"""The trainings of a suite of classifiers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.classification import ClassificationConfig
from ..config.classification_suite import ClassificationSuite
from ..config.schema import RunOptions
from ..jobs.job import Amount, Job, scored_images
from ..training.train import check_same_images
from .train import read_classification, train_classifier


@dataclass(frozen=True)
class ClassificationJob(Job):
    """One training of a classifier."""

    config: ClassificationConfig
    options: RunOptions

    def identity(self) -> dict[str, Any]:
        return self.config.identity()

    def train(self, options: RunOptions, wait: bool) -> Path:
        return train_classifier(self.config, options, wait)

    def check_images(self) -> None:
        check_same_images(self.folder, read_classification(self.config)[0])

    def amount(self) -> Amount:
        _, split, _ = read_classification(self.config)
        protocol = self.config.protocol
        steps = protocol.epochs * protocol.iterations(len(split.train))
        evaluations = 1 + -(-protocol.epochs // protocol.evaluate_every)
        scored = scored_images(0, len(split.test), evaluations, protocol.test_scoring)
        return Amount(steps, steps * protocol.batch_size, scored)

    def __str__(self) -> str:
        config = self.config
        return f"data={config.data.name} loss={config.loss.name} mix={config.mix.name} seed={config.seed}"


def list_classifications(
    suite: ClassificationSuite, kinds: Sequence[tuple[ClassificationConfig, RunOptions]]
) -> tuple[list[ClassificationJob], list[ClassificationJob]]:
    """Every training of a suite, the first comparison first and the others seed by seed; and that comparison.

    Args:
        suite: the suite.
        kinds: its configurations, see :func:`benchmarks.config.classification_suite.list_classification_kinds`.

    Raises:
        UserError: data that cannot be read.
    """
    for config, _ in kinds:
        read_classification(config)
    jobs = {}
    for seed in suite.seeds:
        for config, options in kinds:
            job = ClassificationJob(replace(config, seed=seed), options)
            jobs[job.folder.name] = job
    data, mix = kinds[0][0].data.name, kinds[0][0].mix.name
    first = [job for job in jobs.values() if (job.config.data.name, job.config.mix.name) == (data, mix)]
    return list(({job.folder.name: job for job in first} | jobs).values()), first
