"""Views: augmentation as a function of (example id, epoch, seed), rendered for a whole batch at once.

A view never depends on global random state or on its neighbors in the batch. Teacher and student therefore
receive the same inputs, paired students receive the same inputs, and the teacher's outputs for a view can be
cached.

The operations of images stand in :mod:`distillab.modalities.image.views`, those of audio in
:mod:`distillab.modalities.audio.views`; here is what they share.
"""

from distillab.modalities.views.dihedral import Dihedral
from distillab.modalities.views.layout import to_channels_last
from distillab.modalities.views.mixing import CutMix, Mixture, MixUp
from distillab.modalities.views.operation import Operation, operation, operations
from distillab.modalities.views.shift_operations import Crop, Flip
from distillab.modalities.views.shifts import ViewParameters
from distillab.modalities.views.views import Rendered, Views
from distillab.modalities.views.written import ViewKind, WrittenViews, canonical_views

__all__ = [
    "Crop",
    "CutMix",
    "Dihedral",
    "Flip",
    "MixUp",
    "Mixture",
    "Operation",
    "Rendered",
    "ViewKind",
    "ViewParameters",
    "Views",
    "WrittenViews",
    "canonical_views",
    "operation",
    "operations",
    "to_channels_last",
]
