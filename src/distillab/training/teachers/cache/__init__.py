"""What a teacher said, kept: computed once for every (image, view), read by every student of a study."""

from distillab.training.teachers.cache.cache import CacheMissError, Filled, Stored, TeacherCache
from distillab.training.teachers.cache.parts import Kept

__all__ = ["CacheMissError", "Filled", "Kept", "Stored", "TeacherCache"]
