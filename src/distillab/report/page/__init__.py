"""From the contents of a report to an HTML page, by templates and Plotly figures."""

from distillab.report.page.page import render, write_report

__all__ = ["render", "write_report"]
