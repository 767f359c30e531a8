"""Many tasks over processes: those of this machine, or those of a Ray cluster."""

from .engines import ENGINES, Resources, default_workers, run_all
from .outcome import Outcome

__all__ = ["ENGINES", "Outcome", "Resources", "default_workers", "run_all"]
