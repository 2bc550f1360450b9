"""View models: frozen dataclasses with everything that a report shows."""

from distillab.report.contents.gains import Effect
from distillab.report.contents.place import LevelView, Naming, Place
from distillab.report.contents.report import ReportContents
from distillab.report.contents.runs import Run

__all__ = ["Effect", "LevelView", "Naming", "Place", "ReportContents", "Run"]
