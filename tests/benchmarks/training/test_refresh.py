"""Statistics are taken when the share of baseline epochs is over."""

import pytest

from benchmarks.training.refresh import refresh_after


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"baseline_share must be above 0 and below 1, but got {share}"):
        refresh_after(share, every=2, num_epochs=10)


def test_a_training_that_ends_before_the_first_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 2, the first epoch with copies, but got 1"):
        refresh_after(0.3, every=2, num_epochs=1)
    assert refresh_after(0.3, every=2, num_epochs=2)
