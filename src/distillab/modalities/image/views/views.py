"""Views: which ones an image gets, and the batches that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices
from distillab.modalities.image.views.mixing import Mixing, Mixture
from distillab.modalities.image.views.operation import Operation
from distillab.modalities.image.views.shift_operations import Crop, Flip, usual_pad
from distillab.modalities.image.views.shifts import Shifts, ViewParameters
from distillab.modalities.image.views.written import (
    ViewKind,
    WrittenViews,
    canonical_views,
    read_chain,
    written_chain,
)


@dataclass(frozen=True)
class Rendered:
    """A batch of views: ``pixels`` uint8 ``[N, C, H, W]``, and what they were mixed with, if they were."""

    pixels: Tensor
    mixture: Mixture | None = None


@dataclass(frozen=True)
class Views:
    """Which views are drawn.

    Attributes:
        kind: shifts and mirrors, of which there are finitely many, or ``chain`` for ``operations``.
        pad: black pixels around an image from which the windows of a ``crop`` are taken.
        operations: of a ``chain``, in order.
    """

    kind: ViewKind | Literal["chain"]
    pad: int
    operations: tuple[Operation, ...] = ()

    @classmethod
    def resolve(cls, written: WrittenViews, *, channels: int, resolution: int) -> Views:
        """The views for images of a size. ``auto``: crops for grey images (digits have no mirror), crops and
        flips for colour. The padding is an eighth of the side: the usual 4 pixels at 32.

        Raises:
            RequestError: as :func:`distillab.modalities.image.views.written.canonical_views`.
        """
        written = canonical_views(written)
        if isinstance(written, str):
            kind = cast(ViewKind, written)
            if written == "auto":
                kind = "crop" if channels == 1 else "crop_flip"
            return cls(kind, usual_pad(resolution) if "crop" in kind else 0)
        return cls._of(tuple(step.fitted(resolution) for step in read_chain(written)))

    @classmethod
    def _of(cls, chain: tuple[Operation, ...]) -> Views:
        """A chain, or the kind that it is: ``[flip, crop]`` gives the very views of ``crop_flip``."""
        if any(not isinstance(step, Crop | Flip) for step in chain):
            return cls("chain", 0, chain)
        pads = [step.pad for step in chain if isinstance(step, Crop) and step.pad != "auto"]
        return cls(cast(ViewKind, "_".join(sorted(step.name for step in chain))), sum(pads))

    @classmethod
    def read(cls, written: WrittenViews, pad: int) -> Views:
        """The views of which :attr:`written` and ``pad`` were kept."""
        if isinstance(written, str):
            return cls(cast(ViewKind, written), pad)
        return cls("chain", pad, read_chain(written))

    @property
    def written(self) -> WrittenViews:
        """The plain form, for JSON: the kind, or the operations with all their settings."""
        return written_chain(self.operations) if self.kind == "chain" else self.kind

    @property
    def label(self) -> str:
        """For people: ``crop_flip (pad 4)``, or the operations with what is not their default."""
        if self.kind != "chain":
            return f"{self.kind} (pad {self.pad})"
        return ", ".join(step.label for step in self.operations)

    @property
    def mixes(self) -> bool:
        """Whether a view also depends on other images of the training set (mixup, cutmix)."""
        return any(step.mixes for step in self.operations)

    # -- shifts and mirrors: views that have numbers --------------------------------------------------------

    @property
    def count(self) -> int | None:
        """How many different views an image has, or None if they cannot be counted."""
        return None if self.kind == "chain" else self._shifts.count

    def draw(self, ids: Indices, epoch: int, seed: int) -> ViewParameters:
        """The view of each image in an epoch: a pure function of id, epoch and seed. Raises ValueError for
        a chain, as do the three below."""
        return self._shifts.draw(ids, epoch, seed)

    def index(self, parameters: ViewParameters) -> Indices:
        """The number of each view, int64 ``[N]`` in [0, count)."""
        return self._shifts.index(parameters)

    def at(self, index: Indices) -> ViewParameters:
        """The views with the given numbers, int64 ``[N]``: the inverse of :meth:`index`. Raises IndexError
        for a number outside [0, count)."""
        return self._shifts.at(index)

    def render(self, pixels: Tensor, parameters: ViewParameters) -> Tensor:
        """The views of a batch: ``pixels`` [N, C, H, W] (any dtype) to the same shape, dtype and device."""
        return self._shifts.render(pixels, parameters)

    @property
    def _shifts(self) -> Shifts:
        if self.kind == "chain":
            raise ValueError("the views of a chain have no numbers")
        return Shifts(self.pad, mirror="flip" in self.kind)

    # -- any views ------------------------------------------------------------------------------------------

    def batch(
        self, images: Examples, positions: Indices, epoch: int, seed: int, device: torch.device
    ) -> Rendered:
        """The views that the images at ``positions`` (int64 ``[N]``) of a training set have in an epoch.

        A pure function of id, epoch and seed, and for views that mix, of the training set as well.
        """
        pixels = self._alone(images, positions, epoch, seed, device)
        if not self.mixes:
            return Rendered(pixels)
        mixing = cast(Mixing, self.operations[-1])
        ids = images.ids[positions]
        partners = mixing.partners(ids, epoch, seed, len(images))
        others = self._alone(images, partners, epoch, seed, device)
        mixed, share = mixing.mix(pixels, others, ids, epoch, seed)
        return Rendered(mixed, Mixture(partners, share))

    def _alone(
        self, images: Examples, positions: Indices, epoch: int, seed: int, device: torch.device
    ) -> Tensor:
        """The views before any mixing, uint8 ``[N, C, H, W]``."""
        pixels = torch.from_numpy(images.pixels(positions)).to(device)
        ids = images.ids[positions]
        if self.kind != "chain":
            return self.render(pixels, self.draw(ids, epoch, seed))
        for step in self.operations:
            if not step.mixes:
                pixels = step.render(pixels, ids, epoch, seed)
        return pixels
