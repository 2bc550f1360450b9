"""Cached teacher outputs: computed once for each view, and read by every student of a study."""

from distillab.training.teachers.cache.cache import (
    CacheMissError,
    FillResult,
    TeacherCache,
    check_cache,
    remove_damage,
)
from distillab.training.teachers.cache.format import CacheFormat
from distillab.training.teachers.cache.reading import CachedOutputs

__all__ = [
    "CacheFormat",
    "CacheMissError",
    "CachedOutputs",
    "FillResult",
    "TeacherCache",
    "check_cache",
    "remove_damage",
]
