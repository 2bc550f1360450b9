"""A trained student leaves the lab: exported, checked, evaluated and timed as the file that is shipped."""

from distillab.deploy.checks import Checks, Exported, FileRecord
from distillab.deploy.description import ModelDescription, read_description
from distillab.deploy.export import export_run, find_run
from distillab.deploy.gates import GateResult
from distillab.deploy.loaded import LoadedModel, Predictions, load_model
from distillab.deploy.writer import FORMATS, check_formats, write_model

__all__ = [
    "FORMATS",
    "Checks",
    "Exported",
    "FileRecord",
    "GateResult",
    "LoadedModel",
    "ModelDescription",
    "Predictions",
    "check_formats",
    "export_run",
    "find_run",
    "load_model",
    "read_description",
    "write_model",
]
