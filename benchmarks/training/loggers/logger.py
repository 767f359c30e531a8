"""Records of a training outside of its run directory, where the user keeps those of other work."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...config.compose import RunConfig
from ...errors import UserError
from ...runs.writer import RunDir
from ..hyperparameters import hyperparameters, readable_name

HOW_TO_INSTALL = {"wandb": "pip install wandb", "mlflow": "pip install mlflow-skinny sqlalchemy alembic"}


class Described(NamedTuple):
    """What a logger is told at the start of a training."""

    run: str  # hash of the configuration, the same when it is resumed
    name: str  # readable
    config: Mapping[str, Any]  # the whole configuration, nested
    hyperparameters: Mapping[str, Any]  # the choices, by dotted key
    folder: Path  # run directory


class Logger:
    """Scores of one training on their way to another program; this one leaves them where they are."""

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Take the scores of an evaluation."""

    def finish(self, summary: Mapping[str, float]) -> None:
        """Take the scores at the chosen epoch, and end the record."""

    def fail(self) -> None:
        """End the record of a training that failed; the next attempt continues it where the program allows that."""


class Careful(Logger):
    """A logger whose failures, such as a server that does not answer, are told once and do not end the training.

    Args:
        logger: that may fail.
        tell: called with the reason of the first failure.
    """

    def __init__(self, logger: Logger, tell: Callable[[str], None]) -> None:
        self.logger = logger
        self.tell = tell
        self.has_failed = False

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._try(lambda: self.logger.scores(epoch, scores))

    def finish(self, summary: Mapping[str, float]) -> None:
        self._try(lambda: self.logger.finish(summary))

    def fail(self) -> None:
        self._try(self.logger.fail)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # of a program that is not ours, and over a network
            if not self.has_failed:
                self.tell(
                    f"{type(self.logger).__name__}: {error}; its record is incomplete, and the training goes on "
                    "(the run directory has all scores)"
                )
            self.has_failed = True


def open_logger(kind: str, config: RunConfig, folder: RunDir, tell: Callable[[str], None]) -> Logger:
    """The logger of a training that starts or goes on.

    Args:
        kind: "none", "wandb" or "mlflow".
        config: of the run.
        folder: run directory.
        tell: called with what the user should know.

    Raises:
        UserError: its package is not installed, or it cannot begin a record.
    """
    if kind == "none":
        return Logger()
    training = Described(
        folder.name, readable_name(config), config.identity(), hyperparameters(config), folder.path.resolve()
    )
    try:
        logger: Logger
        if kind == "wandb":
            from .weights_and_biases import WeightsAndBiases

            logger = WeightsAndBiases(training, tell)
        else:
            from .mlflow_client import Mlflow

            logger = Mlflow(training, tell)
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        raise UserError(f"logger={kind} needs the package {package}: {HOW_TO_INSTALL[kind]}") from error
    except Exception as error:  # of a program that is not ours: wrong address, no rights, ...
        raise UserError(f"logger={kind}: {' '.join(str(error).split())}") from error
    return Careful(logger, tell)
