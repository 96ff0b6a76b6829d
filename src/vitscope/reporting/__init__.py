"""Reports: one page of figures, tables and pictures, from Tables and Exhibits alone."""

from vitscope.reporting.page import report

__all__ = ["report"]
