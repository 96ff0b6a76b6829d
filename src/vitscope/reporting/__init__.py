"""Reports: one page of figures, tables and pictures, from Tables and Exhibits alone."""

from vitscope.reporting.best_probe import best_probe_rows
from vitscope.reporting.page import report

__all__ = ["best_probe_rows", "report"]
