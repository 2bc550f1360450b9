"""Views: which ones an example gets, and the batches that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
import torch
from torch import Tensor

from distillab.data.boxes import Boxes
from distillab.data.examples import IMAGE, Examples, Indices, ItemShape
from distillab.errors import RequestError
from distillab.modalities.views.dihedral import Dihedral, DihedralViews
from distillab.modalities.views.mixing import Mixing, Mixture
from distillab.modalities.views.operation import Operation, operations
from distillab.modalities.views.shift_operations import Crop, Flip, usual_pad
from distillab.modalities.views.shifts import Shifts, ViewParameters
from distillab.modalities.views.view_maps import identity_maps, shift_maps, then
from distillab.modalities.views.written import (
    ViewKind,
    WrittenViews,
    canonical_views,
    read_chain,
    written_chain,
)

DIHEDRAL: Final = "dihedral"
OF_SYMBOLS = frozenset({"text"})
"""Modalities whose values are symbols, which cannot be averaged or scaled."""


@dataclass(frozen=True)
class Rendered:
    """A batch of views.

    Attributes:
        items: ``[N, C, H, W]``, in the dtype of the pool.
        mixture: What they were mixed with, under views that mix.
        maps: Where the points of the items are in their views, float32 ``[N, 2, 3]``, for targets with a
            place; see :mod:`distillab.modalities.views.view_maps`.

    Example:
        >>> Rendered(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).mixture is None
        True
    """

    items: Tensor
    mixture: Mixture | None = None
    maps: Tensor | None = None


@dataclass(frozen=True)
class Views:
    """Which views are drawn.

    Attributes:
        kind: Views that have numbers (shifts and mirrors, or quarter turns and mirrors), or ``chain`` for
            ``operations``.
        pad: Black pixels around an image from which the windows of a ``crop`` are taken.
        operations: The operations of a ``chain``, in order.

    Example:
        >>> views = Views.resolve(["flip", "crop"], (3, 32, 32))
        >>> views.label, views.count
        ('crop_flip (pad 4)', 162)
    """

    kind: ViewKind | Literal["chain"]
    pad: int
    operations: tuple[Operation, ...] = ()

    @classmethod
    def resolve(cls, written: WrittenViews, shape: ItemShape, modality: str = IMAGE) -> Views:
        """Return the views for items of a shape; ``auto`` settings of operations are resolved.

        ``auto`` views are for a modality to choose, see :meth:`Modality.views`.

        Raises:
            RequestError: As :func:`distillab.modalities.views.written.canonical_views`, or an operation is
                for another modality.
        """
        written = canonical_views(written)
        if isinstance(written, str):
            kind = cast(ViewKind, written)
            names = [] if kind == "none" else kind.split("_")
            _check_modality([operations[name] for name in names], modality)
            if kind == DIHEDRAL:
                Dihedral().fitted(shape)
            return cls(kind, usual_pad(shape[1]) if "crop" in kind else 0)
        chain = read_chain(written)
        _check_modality([type(step) for step in chain], modality)
        return cls._of(tuple(step.fitted(shape) for step in chain))

    @classmethod
    def _of(cls, chain: tuple[Operation, ...]) -> Views:
        """Return a chain, or the kind that it equals: ``[flip, crop]`` gives the views of ``crop_flip``."""
        if [step.name for step in chain] == [DIHEDRAL]:
            return cls(DIHEDRAL, 0)
        if any(not isinstance(step, Crop | Flip) for step in chain):
            return cls("chain", 0, chain)
        pads = [step.pad for step in chain if isinstance(step, Crop) and step.pad != "auto"]
        return cls(cast(ViewKind, "_".join(sorted(step.name for step in chain))), sum(pads))

    @classmethod
    def read(cls, written: WrittenViews, pad: int) -> Views:
        """Return the views of which :attr:`written` and ``pad`` were kept."""
        if isinstance(written, str):
            return cls(cast(ViewKind, written), pad)
        return cls("chain", pad, read_chain(written))

    @property
    def written(self) -> WrittenViews:
        """The plain form, for JSON: the kind, or the operations with all their settings."""
        return written_chain(self.operations) if self.kind == "chain" else self.kind

    @property
    def label(self) -> str:
        """The form for people: ``crop_flip (pad 4)``, or the operations with their non-default settings."""
        if self.kind == DIHEDRAL:
            return self.kind
        if self.kind != "chain":
            return f"{self.kind} (pad {self.pad})"
        return ", ".join(step.label for step in self.operations)

    @property
    def mixes(self) -> bool:
        """Whether a view also depends on other examples of the training set (mixup, CutMix)."""
        return any(step.mixes for step in self.operations)

    @property
    def fixed_operations(self) -> tuple[str, ...]:
        """The operations that cannot move boxes with the pixels."""
        chain = self.operations if self.kind == "chain" else self._shift_operations
        return tuple(step.name for step in chain if not step.moves_boxes)

    def strengthened(self, operation: Operation) -> Views:
        """Return these views with another operation at the end, which replaces one of its name.

        Raises:
            RequestError: These views mix examples.

        Example:
            >>> Views("crop_flip", 4).strengthened(operations["flip"]()).label
            'crop(pad=4), flip'
        """
        if self.mixes:
            raise RequestError(
                "views that mix examples have no strong version", where="views", allowed="views without them"
            )
        own = self.operations if self.kind == "chain" else self._shift_operations
        kept = tuple(each for each in own if each.name != operation.name)
        return Views("chain", 0, (*kept, operation))

    @property
    def _shift_operations(self) -> tuple[Operation, ...]:
        if self.kind == DIHEDRAL:
            return (Dihedral(),)
        crop: tuple[Operation, ...] = (Crop(pad=self.pad),) if "crop" in self.kind else ()
        return (*crop, Flip()) if "flip" in self.kind else crop

    # -- views that have numbers ----------------------------------------------------------------------------

    @property
    def count(self) -> int | None:
        """Number of different views of an example, or None if they cannot be counted."""
        return None if self.kind == "chain" else self._shifts.count

    def draw(self, ids: Indices, epoch: int, seed: int) -> ViewParameters:
        """Return the view of each example in an epoch: a pure function of id, epoch and seed.

        Raises:
            ValueError: The views cannot be counted; so do the three methods below.
        """
        return self._shifts.draw(ids, epoch, seed)

    def index(self, parameters: ViewParameters) -> Indices:
        """Return the number of each view, int64 ``[N]`` in [0, count)."""
        return self._shifts.index(parameters)

    def at(self, index: Indices) -> ViewParameters:
        """Return the views with the given numbers, int64 ``[N]``: the inverse of :meth:`index`.

        Raises:
            IndexError: A number is outside [0, count).
        """
        return self._shifts.at(index)

    def render(self, items: Tensor, parameters: ViewParameters) -> Tensor:
        """Return the views of a batch: ``items`` [N, C, H, W] to the same shape, dtype and device."""
        return self._shifts.render(items, parameters)

    @property
    def _shifts(self) -> Shifts | DihedralViews:
        if self.kind == "chain":
            raise ValueError("the views of a chain have no numbers")
        return DihedralViews() if self.kind == DIHEDRAL else Shifts(self.pad, mirror="flip" in self.kind)

    # -- any views ------------------------------------------------------------------------------------------

    def batch(
        self, examples: Examples, positions: Indices, epoch: int, seed: int, device: torch.device
    ) -> Rendered:
        """Return the views that some examples of a training set have in an epoch.

        They are a pure function of id, epoch and seed, and for views that mix, of the training set as well.

        Args:
            examples: The training set.
            positions: int64 ``[N]``, positions in it.
            epoch: Number of the epoch.
            seed: Seed of the views.
            device: Where the batch is wanted.
        """
        items = self._unmixed(examples, positions, epoch, seed, device)
        if isinstance(examples.targets, Boxes):
            return Rendered(items, maps=self._maps(examples, positions, epoch, seed))
        if not self.mixes:
            return Rendered(items)
        mixing = cast(Mixing, self.operations[-1])
        ids = examples.ids[positions]
        partners = _partners(mixing, examples, positions, epoch, seed)
        others = self._unmixed(examples, partners, epoch, seed, device)
        mixed, share = mixing.mix(items, others, ids, epoch, seed)
        return Rendered(mixed, Mixture(partners, share))

    def _maps(self, examples: Examples, positions: Indices, epoch: int, seed: int) -> Tensor:
        """Return where the points of items are in their views, float32 ``[N, 2, 3]``.

        Raises:
            ValueError: An operation does not move boxes.
        """
        ids, maps = examples.ids[positions], identity_maps(len(positions))
        if self.kind != "chain":
            _, height, width = examples.shape
            return shift_maps(self.draw(ids, epoch, seed), self.pad, height, width)
        for step in self.operations:
            maps = then(maps, step.maps(ids, epoch, seed, examples.shape))
        return maps

    def _unmixed(
        self, examples: Examples, positions: Indices, epoch: int, seed: int, device: torch.device
    ) -> Tensor:
        """Return the views before any mixing, ``[N, C, H, W]``."""
        items = torch.from_numpy(examples.items(positions)).to(device)
        ids = examples.ids[positions]
        if self.kind != "chain":
            return self.render(items, self.draw(ids, epoch, seed))
        for step in self.operations:
            if not step.mixes:
                items = step.render(items, ids, epoch, seed)
        return items


def _partners(mixing: Mixing, examples: Examples, positions: Indices, epoch: int, seed: int) -> Indices:
    """Return the positions of what examples are mixed with, int64 ``[N]``: labelled examples with labelled
    ones, whose views are then the same in a set without the others, and unlabelled with unlabelled ones."""
    ids, labelled = examples.ids[positions], examples.labelled
    partners = np.empty_like(positions)
    for kind in (True, False):
        own = labelled[positions] == kind
        if own.any():
            places = np.flatnonzero(labelled == kind)
            partners[own] = places[mixing.partners(ids[own], epoch, seed, len(places))]
    return partners


def _check_modality(steps: list[type[Operation]], modality: str) -> None:
    for step in steps:
        accepted = (modality,) if modality in OF_SYMBOLS else (None, modality)
        if step.modality not in accepted:
            allowed = sorted(name for name in operations if operations[name].modality in accepted)
            raise RequestError(
                f"{step.name} is an operation on {step.modality or 'image and audio'} examples, and these are"
                f" {modality}",
                where="views",
                allowed=", ".join(["none", *allowed]),
            )
