"""What trainings take, told before they start: images, hours, disk."""

from benchmarks.jobs.estimate.probe import probe
from benchmarks.jobs.estimate.total import Estimate, estimate

__all__ = ["Estimate", "estimate", "probe"]
