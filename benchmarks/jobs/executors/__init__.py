"""Runs tasks in processes of this machine or of a Ray cluster."""

from benchmarks.jobs.executors.front import Resources, default_workers, run_all
from benchmarks.jobs.executors.outcome import Outcome

__all__ = ["Outcome", "Resources", "default_workers", "run_all"]
