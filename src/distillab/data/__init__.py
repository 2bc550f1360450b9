"""Data: examples with targets over a pool of items, datasets of splits, and how both are cut and stored."""

from distillab.data.boxes import Boxes, moved_boxes
from distillab.data.channel_statistics import ChannelStatistics, statistics_of_pixels
from distillab.data.class_map import UNMAPPED, ClassMap, class_map, merges
from distillab.data.collector import ItemCollector
from distillab.data.dataset import DataReport, Dataset
from distillab.data.derived import Unchanged, derived, stacked
from distillab.data.duplicates import content, count_across
from distillab.data.examples import Examples, Indices, Items, ItemStore, Pixels, Pool
from distillab.data.originals import Original, Originals
from distillab.data.randomness import random_bits, uniform
from distillab.data.raw import RawImage, RawRecording, StoredBytes
from distillab.data.splits import carve, carve_groups, inseparable
from distillab.data.stratification import iterative_stratification
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import UNLABELLED, Identities, Labels, LabelSets, Targets
from distillab.data.tracks import Tracks

__all__ = [
    "UNLABELLED",
    "UNMAPPED",
    "Boxes",
    "ChannelStatistics",
    "ClassMap",
    "DataReport",
    "Dataset",
    "Examples",
    "Identities",
    "Indices",
    "ItemCollector",
    "ItemStore",
    "Items",
    "LabelSets",
    "Labels",
    "Original",
    "Originals",
    "Pixels",
    "Pool",
    "RawImage",
    "RawRecording",
    "StoredBytes",
    "StudentTransform",
    "Targets",
    "Tracks",
    "Unchanged",
    "carve",
    "carve_groups",
    "class_map",
    "content",
    "count_across",
    "derived",
    "inseparable",
    "iterative_stratification",
    "merges",
    "moved_boxes",
    "random_bits",
    "stacked",
    "statistics_of_pixels",
    "uniform",
]
