"""Views: augmentation as a function of (image id, epoch, seed), rendered for a whole batch at once.

A view never depends on global random state or on its neighbours in the batch. Teacher and student therefore
see the same pixels, twins see the same pixels, and what a teacher said about a view can be stored and reused.
"""

from distillab.modalities.image.views.colour_jitter import ColourJitter
from distillab.modalities.image.views.layout import channels_last
from distillab.modalities.image.views.mixing import CutMix, Mixture, MixUp
from distillab.modalities.image.views.operation import Operation, operations
from distillab.modalities.image.views.rand_augment import RandAugment
from distillab.modalities.image.views.resized_crop import RandomResizedCrop
from distillab.modalities.image.views.shift_operations import Crop, Flip
from distillab.modalities.image.views.shifts import ViewParameters
from distillab.modalities.image.views.views import Rendered, Views
from distillab.modalities.image.views.written import ViewKind, WrittenViews, canonical_views

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
