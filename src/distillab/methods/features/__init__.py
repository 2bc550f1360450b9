"""Methods that learn from the teacher's feature maps, embedding or classifier, image by image."""

from distillab.methods.features import attention_transfer

__all__ = ["attention_transfer"]
