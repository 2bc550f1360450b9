"""Views: augmentation as a function of (image id, epoch, seed), rendered for a whole batch at once.

A view never depends on global random state or on its neighbours in the batch. Teacher and student therefore
see the same pixels, twins see the same pixels, and what a teacher said about a view can be stored and reused.
"""

from distillab.data.views.colour_jitter import ColourJitter
from distillab.data.views.layout import channels_last
from distillab.data.views.mixing import CutMix, Mixture, MixUp
from distillab.data.views.operation import Operation, operations
from distillab.data.views.rand_augment import RandAugment
from distillab.data.views.resized_crop import RandomResizedCrop
from distillab.data.views.shift_operations import Crop, Flip
from distillab.data.views.shifts import ViewParameters
from distillab.data.views.views import Rendered, Views
from distillab.data.views.written import ViewKind, WrittenViews, canonical_views

__all__ = [
    "ColourJitter",
    "Crop",
    "CutMix",
    "Flip",
    "MixUp",
    "Mixture",
    "Operation",
    "RandAugment",
    "RandomResizedCrop",
    "Rendered",
    "ViewKind",
    "ViewParameters",
    "Views",
    "WrittenViews",
    "canonical_views",
    "channels_last",
    "operations",
]
