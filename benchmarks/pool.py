"""Many tasks over the processes of this machine."""

from .execution.local import Outcome, run_all

__all__ = ["Outcome", "run_all"]
