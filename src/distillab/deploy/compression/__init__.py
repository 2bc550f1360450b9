"""Compression: pruning, distilled fine-tuning of what is left, and int8, alone and together."""

from distillab.deploy.compression.channels import prune_channels
from distillab.deploy.compression.layers import PrunableLayers
from distillab.deploy.compression.masks import mask_smallest, without_masks

__all__ = ["PrunableLayers", "mask_smallest", "prune_channels", "without_masks"]
