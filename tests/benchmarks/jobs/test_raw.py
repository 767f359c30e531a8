from pathlib import Path

import pytest

from benchmarks.config.compose import compose
from benchmarks.jobs.raw import raw_jobs
from benchmarks.jobs.runner import TrainingJob, amount_of
from benchmarks.training.train import read_data

FEATURES = ["data=features", "data.path=mine.npz", "data.name=mine"]


def jobs_of(*overrides: str) -> list[TrainingJob]:
    return raw_jobs(TrainingJob(*compose(overrides)), [0, 2])


@pytest.mark.slow
def test_features_are_scored_as_they_are_and_standardised_in_every_fold() -> None:
    jobs = jobs_of(*FEATURES, "loss=proxy_anchor", "method=ps", "seed=3")
    found = [(job.config.loss.name, job.config.method.name, job.config.fold, job.config.seed) for job in jobs]
    assert found == [(loss, "none", fold, 0) for loss in ("raw", "raw_standardized") for fold in (0, 2)]
    assert len({job.folder.name for job in jobs}) == 4


def test_all_losses_methods_and_embedders_on_a_data_set_share_them() -> None:
    names = {job.folder.name for job in jobs_of(*FEATURES)}
    for others in (["loss=triplet", "method=ee"], ["protocol.embedder.kind=mlp"], ["protocol.embedding_size=16"]):
        assert {job.folder.name for job in jobs_of(*FEATURES, *others)} == names


@pytest.mark.parametrize(
    ("overrides", "count"),
    [(["trunk.freeze=all"], 4), ([], 0), (["trunk.freeze=[layers.0]"], 0),
     (["trunk.freeze=all", "trunk.unfreeze=[layers.0]"], 0)],
)  # fmt: skip
def test_of_images_only_a_trunk_that_is_frozen_as_a_whole_has_features_of_its_own(
    overrides: list[str], count: int
) -> None:
    assert len(jobs_of(*overrides)) == count


def test_they_take_no_steps_and_one_evaluation(tmp_path: Path) -> None:
    (job, *_) = jobs_of("trunk.freeze=all", "data.num_classes=24", "data.image_size=12", f"runs={tmp_path}")
    split = read_data(job.config)[1]
    amount = amount_of(job.config, split)
    assert (amount.steps, amount.images, amount.scored) == (0, 0, len(split.val) + len(split.test))
