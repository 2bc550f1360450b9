"""View operations of images."""

from distillab.modalities.image.views.colour_jitter import ColourJitter
from distillab.modalities.image.views.rand_augment import RandAugment
from distillab.modalities.image.views.resized_crop import RandomResizedCrop

__all__ = ["ColourJitter", "RandAugment", "RandomResizedCrop"]
