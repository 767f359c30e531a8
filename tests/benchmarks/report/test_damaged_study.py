"""Damaged studies: whatever happened to a file, the study is read or refused in one sentence that names the file."""

import shutil
import time

import numpy as np
import pytest
from damage import damage, damage_value

from benchmarks.errors import UserError
from benchmarks.report.study import read_studies
from benchmarks.runs.schema import BEST, LEDGER, STUDY

TRIES = 400


@pytest.mark.slow
def test_damage_is_refused_in_one_sentence_within_a_second(canned, fuzz_seeds):
    study = canned.study()
    kept = canned.root / "kept"
    shutil.copytree(study, kept)
    slowest, refused = 0.0, 0
    for seed in fuzz_seeds(TRIES):
        random = np.random.default_rng(seed)
        path = study / (STUDY, LEDGER, BEST)[random.integers(3)]
        path.write_bytes((damage, damage_value)[random.integers(2)](path.read_bytes(), random))
        started = time.process_time()
        try:
            read_studies(canned.root)
        except UserError as refusal:
            assert str(path.parent) in str(refusal) and "\n" not in str(refusal)
            refused += 1
        slowest = max(slowest, time.process_time() - started)
        shutil.copy(kept / path.name, path)
    assert refused > TRIES / 4 and slowest < 1
