"""RandAugment: a few operations per view, chosen at random from fourteen, all at one magnitude."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import IMAGE, Indices
from distillab.modalities.image.views import color, geometry, tones
from distillab.modalities.views.operation import Operation, operation, per_example, to_bytes

Signs = npt.NDArray[np.float64]
Augmentation = Callable[[Tensor, float, Signs], Tensor]
"""Applies an operation to images, given a share of its strongest magnitude and one sign per image."""

MAGNITUDES = 31
STRONGEST_SHEAR = 0.3
STRONGEST_ROTATION = 30.0  # degrees
STRONGEST_TRANSLATION = 150 / 331  # of a side
STRONGEST_FACTOR = 0.9
MOST_BITS_LOST = 4


def _by_factor(change: Callable[[Tensor, Tensor], Tensor]) -> Augmentation:
    def augment(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
        levels = pixels.float()
        return to_bytes(change(levels, per_example(1 + STRONGEST_FACTOR * strength * signs, levels)))

    return augment


def _shear_x(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    return geometry.affine(pixels, geometry.shear_x(STRONGEST_SHEAR * strength * signs, pixels.shape[2]))


def _shear_y(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    return geometry.affine(pixels, geometry.shear_y(STRONGEST_SHEAR * strength * signs, pixels.shape[3]))


def _translate_x(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    right = STRONGEST_TRANSLATION * strength * signs * pixels.shape[3]
    return geometry.affine(pixels, geometry.translation(right, 0 * right))


def _translate_y(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    down = STRONGEST_TRANSLATION * strength * signs * pixels.shape[2]
    return geometry.affine(pixels, geometry.translation(0 * down, down))


def _rotate(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    return geometry.affine(pixels, geometry.rotation(STRONGEST_ROTATION * strength * signs))


def _posterize(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    return tones.posterize(pixels, round(8 - MOST_BITS_LOST * strength))


def _solarize(pixels: Tensor, strength: float, signs: Signs) -> Tensor:
    return tones.solarize(pixels, 255 * (1 - strength))


AUGMENTATIONS: dict[str, Augmentation] = {
    "identity": lambda pixels, strength, signs: pixels,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _by_factor(color.brightness),
    "saturation": _by_factor(color.saturation),
    "contrast": _by_factor(color.contrast),
    "sharpness": _by_factor(color.sharpness),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": lambda pixels, strength, signs: tones.autocontrast(pixels),
    "equalize": lambda pixels, strength, signs: tones.equalize(pixels),
}


@operation("rand_augment")
class RandAugment(Operation):
    """``n`` operations in sequence, each drawn from fourteen, at ``magnitude`` of its range; shears,
    translations, rotations and changes of color go either way.

    Outside the image it is black; geometry takes the nearest pixel. Ranges and fill are torchvision's.

    Paper: Cubuk, Zoph, Shlens and Le, "RandAugment", NeurIPS 2020.

    Attributes:
        n: Number of operations.
        magnitude: From 0 to 30.

    Example:
        >>> RandAugment(n=3).label
        'rand_augment(n=3)'
    """

    modality: ClassVar[str | None] = IMAGE

    n: Annotated[int, Field(ge=1, strict=True)] = 2
    magnitude: Annotated[int, Field(ge=0, lt=MAGNITUDES, strict=True)] = 10

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return augmented images; those that draw the same operation go through it together."""
        strength = self.magnitude / (MAGNITUDES - 1)
        augmented = items.clone()
        for place in range(self.n):
            bits = self.bits(str(place), ids, epoch, seed)
            signs = np.where(bits >> np.uint64(63), -1.0, 1.0)
            choice = (bits & np.uint64(0xFFFFFFFF)) % np.uint64(len(AUGMENTATIONS))
            for number, augment in enumerate(AUGMENTATIONS.values()):
                chosen = np.flatnonzero(choice == number)
                if len(chosen):
                    rows = torch.from_numpy(chosen).to(items.device)
                    augmented[rows] = augment(augmented[rows], strength, signs[chosen])
        return augmented
