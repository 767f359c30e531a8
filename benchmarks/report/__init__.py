"""The report: run folders in, pages and tables out. Reads files only and needs no torch."""

from .command import main
from .write import write_report

__all__ = ["main", "write_report"]
