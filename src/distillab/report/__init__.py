"""For people who look rather than read: one HTML file that shows a study, its answer first."""

from distillab.report.contents import ReportContents
from distillab.report.page import render, write_report

__all__ = ["ReportContents", "render", "write_report"]
