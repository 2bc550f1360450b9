"""Reports for people: one HTML file that shows a study, its answer first."""

from distillab.report.contents.report import ReportContents
from distillab.report.page.page import render, write_report

__all__ = ["ReportContents", "render", "write_report"]
