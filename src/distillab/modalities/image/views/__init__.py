"""View operations of images."""

from distillab.modalities.image.views.color_jitter import ColorJitter
from distillab.modalities.image.views.rand_augment import RandAugment
from distillab.modalities.image.views.resized_crop import RandomResizedCrop

__all__ = ["ColorJitter", "RandAugment", "RandomResizedCrop"]
