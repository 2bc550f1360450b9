"""A trained student leaves the lab: exported, checked, evaluated and timed as the file that is shipped."""

from distillab.deploy.benchmarking import Benchmark, ModelBenchmark, benchmark_models
from distillab.deploy.checks import Checks, Exported, FileRecord
from distillab.deploy.description import ModelDescription, read_description
from distillab.deploy.detected import DetectedBox
from distillab.deploy.detecting import FileDetections, detect_files
from distillab.deploy.detection_outputs import DetectionOutputs
from distillab.deploy.evaluation import Evaluation, evaluate_model
from distillab.deploy.export import export_run
from distillab.deploy.frames import frames_in
from distillab.deploy.gates import GateResult
from distillab.deploy.loaded import LoadedModel, Predictions, load_model
from distillab.deploy.prediction import FilePrediction, files_in, predict_files
from distillab.deploy.runs import find_run
from distillab.deploy.track_outputs import TrackOutputs
from distillab.deploy.tracked import TrackedBox
from distillab.deploy.tracking import track_files
from distillab.deploy.writer import FORMATS, check_formats, write_model

__all__ = [
    "FORMATS",
    "Benchmark",
    "Checks",
    "DetectedBox",
    "DetectionOutputs",
    "Evaluation",
    "Exported",
    "FileDetections",
    "FilePrediction",
    "FileRecord",
    "GateResult",
    "LoadedModel",
    "ModelBenchmark",
    "ModelDescription",
    "Predictions",
    "TrackOutputs",
    "TrackedBox",
    "benchmark_models",
    "check_formats",
    "detect_files",
    "evaluate_model",
    "export_run",
    "files_in",
    "find_run",
    "frames_in",
    "load_model",
    "predict_files",
    "read_description",
    "track_files",
    "write_model",
]
