"""Colour jitter: brightness, contrast, saturation and hue, each changed a little."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from distillab.data.examples import IMAGE, Indices
from distillab.modalities.image.views import colour
from distillab.modalities.views.operation import Operation, operation, per_example, to_bytes

Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@operation("colour_jitter")
class ColourJitter(Operation):
    """Brightness, contrast and saturation by factors from [max(0, 1 - s), 1 + s], then hue by a share of the
    colour circle from [-h, h], always in this order. Saturation and hue do nothing to grey images.

    Paper: Krizhevsky, Sutskever and Hinton, NeurIPS 2012, began it; these ranges are those of Howard, "Some
    improvements on deep convolutional neural network based image classification", 2013, and later practice.
    """

    modality: ClassVar[str | None] = IMAGE

    brightness: Strength = 0.4
    contrast: Strength = 0.4
    saturation: Strength = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1

    def render(self, pixels: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Images in other colours."""
        levels = pixels.float()
        for part, change in (
            ("brightness", colour.brightness),
            ("contrast", colour.contrast),
            ("saturation", colour.saturation),
        ):
            if strength := getattr(self, part):
                low, high = max(0.0, 1 - strength), 1 + strength
                factor = low + (high - low) * self.uniform(part, ids, epoch, seed)
                levels = change(levels, per_example(factor, levels))
        if self.hue:
            turn = self.hue * (2 * self.uniform("hue", ids, epoch, seed) - 1)
            levels = colour.hue(levels, per_example(np.asarray(turn), levels))
        return to_bytes(levels)
