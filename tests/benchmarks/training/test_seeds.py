import io
import random

import numpy as np
import torch

from benchmarks.training.seeds import generator_states, restore_generators, seed_shared_generators, stream_seed


def draws() -> list[float]:
    return [random.random(), random.gauss(0, 1), float(np.random.normal()), torch.rand(()).item()]


def test_streams_of_other_names_epochs_and_seeds_differ() -> None:
    seeds = {stream_seed(seed, name, epoch) for seed in range(5) for name in "ab" for epoch in range(5)}
    assert len(seeds) == 50


def test_a_stream_is_the_same_in_every_process() -> None:
    assert stream_seed(0, "batches", 1) == 2976965654


def test_one_seed_fixes_all_shared_generators() -> None:
    seed_shared_generators(3)
    first = draws()
    seed_shared_generators(3)
    assert draws() == first


def test_saved_states_continue_where_they_were_and_load_without_pickled_code() -> None:
    draws()  # an odd number of Gaussian draws leaves half of a pair behind
    file = io.BytesIO()
    torch.save(generator_states(), file)
    expected = draws()
    file.seek(0)
    restore_generators(torch.load(file, weights_only=True))
    assert draws() == expected
