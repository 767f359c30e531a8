"""How a task ended."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """How a task ended."""

    task: int  # its position among the tasks
    error: str | None  # a traceback, or a sentence when the process died; None if all went well
