"""Sources: where examples come from, one per file, found by the name it is registered under."""

from distillab.sources import (
    audio,
    chestxray14,
    chexpert,
    csv,
    digits,
    folder,
    huggingface,
    memory,
    mnist5k,
    noise,
    npz,
    padchest,
    parquet,
    shapes,
    torchvision,
    webdataset,
)
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source, source_from_argument
from distillab.sources.source import ImageSource, RawSplit, RawSplits, Source, source, sources

__all__ = [
    "ImageSource",
    "RawSplit",
    "RawSplits",
    "Source",
    "audio",
    "chestxray14",
    "chexpert",
    "csv",
    "digits",
    "folder",
    "huggingface",
    "load_dataset",
    "memory",
    "mnist5k",
    "noise",
    "npz",
    "padchest",
    "parquet",
    "parse_source",
    "shapes",
    "source",
    "source_from_argument",
    "sources",
    "torchvision",
    "webdataset",
]
