"""Sources: where images come from, one file each, found by the name they are registered under."""

from distillab.data.raw import RawImage, StoredBytes
from distillab.sources import (
    digits,
    folder,
    huggingface,
    mnist5k,
    npz,
    parquet,
    shapes,
    torchvision,
    webdataset,
)
from distillab.sources.parsing import parse_source, source_from_argument
from distillab.sources.source import ImageSource, RawSplit, RawSplits, Source, source, sources

__all__ = [
    "ImageSource",
    "RawImage",
    "RawSplit",
    "RawSplits",
    "Source",
    "StoredBytes",
    "digits",
    "folder",
    "huggingface",
    "mnist5k",
    "npz",
    "parquet",
    "parse_source",
    "shapes",
    "source",
    "source_from_argument",
    "sources",
    "torchvision",
    "webdataset",
]
