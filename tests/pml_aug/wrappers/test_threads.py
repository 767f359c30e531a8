"""A second thread in a wrapper gets the right value or a refusal, and does no harm."""

from concurrent.futures import ThreadPoolExecutor

import torch


def test_concurrent_calls_give_the_right_value_or_a_refusal_and_do_no_harm(case, batch):
    loss = case.wrap(case.baseline())

    def value(seed):
        return loss(*batch, generator=torch.Generator().manual_seed(seed)).detach()

    def outcome(seed):
        try:
            return value(seed)
        except RuntimeError as error:
            assert "in use by another thread" in str(error)
            return None

    expected = [value(seed) for seed in range(5)]
    depends_on_earlier_calls = any(not torch.equal(value(seed), expected[seed]) for seed in range(5))
    distance, parameters = loss.distance, [parameter.shape for parameter in loss.parameters()]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(outcome, [0, 1, 2, 3, 4] * 6))
    pairs = list(zip(found, expected * 6, strict=True))
    if depends_on_earlier_calls:  # in whose order threads come is not decided
        assert all(mine is None or mine.isfinite() for mine, _ in pairs)
    else:
        assert all(mine is None or torch.equal(mine, theirs) for mine, theirs in pairs)
        assert torch.equal(value(3), expected[3])
    assert loss.distance is distance and [parameter.shape for parameter in loss.parameters()] == parameters
