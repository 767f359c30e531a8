"""Damaged run directories: whatever happened to a file, the run is read as it was or refused in one sentence."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from damage import damage, damage_value

from benchmarks.errors import UserError
from benchmarks.report.gallery import gallery_arrays
from benchmarks.report.per_query import query_scores
from benchmarks.runs.reader import read_run
from benchmarks.runs.schema import CONFIG, DONE, ENVIRONMENT, GALLERY, PRIMARY, QUERIES, RESULT

TRIES = 300
FILES = (CONFIG, ENVIRONMENT, RESULT, QUERIES, GALLERY, DONE)


def read_all(directory: Path) -> None:
    run = read_run(directory)
    query_scores(run, PRIMARY)
    gallery_arrays(run)


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [False, True], ids=["as found", "with the right sha256"])
def test_damage_is_refused_in_one_sentence_within_a_second(canned, fuzz_seeds, sealed):
    whole = canned.write("triplet", "ee")
    kept = canned.root / "kept"
    shutil.move(whole, kept)
    slowest, refused = 0.0, 0
    for seed in fuzz_seeds(TRIES):
        random = np.random.default_rng([seed, sealed])
        shutil.copytree(kept, whole)
        path = whole / FILES[random.integers(len(FILES))]
        before = path.read_bytes()
        after = (damage, damage_value)[random.integers(2)](before, random)
        path.write_bytes(after)
        if sealed:
            canned.reseal(whole)
        started = time.process_time()
        try:
            read_all(whole)
        except UserError as refusal:
            assert str(whole) in str(refusal) and "\n" not in str(refusal)
            refused += 1
        else:
            assert sealed or after == before or path.name == DONE
        slowest = max(slowest, time.process_time() - started)
        shutil.rmtree(whole)
    assert refused > TRIES / 2 and slowest < 1


def test_a_lost_file_is_always_named(canned):
    for name in FILES:
        folder = canned.write("triplet", "ee", note=name)
        (folder / name).unlink()
        with pytest.raises(UserError, match=str(folder)):
            read_all(folder)
