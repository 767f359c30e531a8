"""What a list of trainings needs of each of them."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..config.schema import RunOptions
from ..errors import UserError
from ..runs.writer import RunDir


class Amount(NamedTuple):
    """What one training does at most: patience may end it earlier."""

    steps: int
    images: int  # trained on, counted at every use
    scored: int  # evaluated, counted at every evaluation


class Job(ABC):
    """One training of a list."""

    options: RunOptions

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What names the run directory."""

    @abstractmethod
    def train(self, options: RunOptions, wait: bool) -> Path:
        """Train, with these options instead of its own, and return the run directory."""

    @abstractmethod
    def check_images(self) -> None:
        """Raise a UserError if the finished run was trained on other images than its data set has now."""

    @abstractmethod
    def amount(self) -> Amount:
        """What the whole training does."""

    @cached_property
    def folder(self) -> RunDir:
        """The run directory."""
        return RunDir(self.options.runs, self.identity())

    def is_done(self) -> bool:
        """Whether the training has finished and its result is undamaged."""
        try:
            return self.folder.is_done()
        except UserError:
            return False


def scored_images(val: int, test: int, evaluations: int, test_scoring: str) -> int:
    """Images scored in a training, counted at every evaluation.

    Example:
        >>> scored_images(val=10, test=100, evaluations=3, test_scoring="once")
        130
    """
    return evaluations * val + {"never": 0, "once": 1, "every": evaluations}[test_scoring] * test
