"""Color jitter: small changes of brightness, contrast, saturation and hue."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from distillab.data.examples import IMAGE, Indices
from distillab.modalities.image.views import color
from distillab.modalities.views.operation import Operation, operation, per_example, to_bytes

JitterStrength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@operation("colour_jitter")
class ColorJitter(Operation):
    """Brightness, contrast and saturation by factors from [max(0, 1 - s), 1 + s], then hue by a share of the
    color circle from [-h, h], always in this order. Saturation and hue do nothing to gray images.

    Paper: Krizhevsky, Sutskever and Hinton, NeurIPS 2012, began it; these ranges are those of Howard, "Some
    improvements on deep convolutional neural network based image classification", 2013, and later practice.

    Attributes:
        brightness: s of brightness.
        contrast: s of contrast.
        saturation: s of saturation.
        hue: h.

    Example:
        >>> ColorJitter(hue=0.0).label
        'color_jitter(hue=0.0)'
    """

    modality: ClassVar[str | None] = IMAGE
    moves_boxes: ClassVar[bool] = True

    brightness: JitterStrength = 0.4
    contrast: JitterStrength = 0.4
    saturation: JitterStrength = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return images in other colors."""
        levels = items.float()
        for part, change in (
            ("brightness", color.brightness),
            ("contrast", color.contrast),
            ("saturation", color.saturation),
        ):
            if strength := getattr(self, part):
                low, high = max(0.0, 1 - strength), 1 + strength
                factor = low + (high - low) * self.uniform(part, ids, epoch, seed)
                levels = change(levels, per_example(factor, levels))
        if self.hue:
            turn = self.hue * (2 * self.uniform("hue", ids, epoch, seed) - 1)
            levels = color.hue(levels, per_example(np.asarray(turn), levels))
        return to_bytes(levels)
