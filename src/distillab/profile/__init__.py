"""What a dataset is like, measured by quantities that matter for distillation.

A profile consists of families of measures. Every measure has a value, a 95 % interval, the number of images
it was computed from, its cost in seconds, and one line about its meaning for distillation.
"""

from distillab.profile.families import FAMILIES
from distillab.profile.loaded_teacher import LoadedTeacher, check_teacher, load_teacher
from distillab.profile.measure import Family, Gallery, Grid, Interval, Measure, Picture
from distillab.profile.profile import Profile, profile_source
from distillab.profile.profiled_dataset import ProfiledDataset

__all__ = [
    "FAMILIES",
    "Family",
    "Gallery",
    "Grid",
    "Interval",
    "LoadedTeacher",
    "Measure",
    "Picture",
    "Profile",
    "ProfiledDataset",
    "check_teacher",
    "load_teacher",
    "profile_source",
]
