"""What a dataset is like, in numbers that have a bearing on distillation."""

from distillab.profile.measure import Family, Gallery, Measure, Picture
from distillab.profile.profile import Profile, profile_source
from distillab.profile.teacher import GivenTeacher, given_teacher

__all__ = [
    "Family",
    "Gallery",
    "GivenTeacher",
    "Measure",
    "Picture",
    "Profile",
    "given_teacher",
    "profile_source",
]
