"""How many images without labels there are beside the labelled ones, and what they show."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from PIL import UnidentifiedImageError
from pydantic import Field, model_validator

from distillab.data.derived import stacked
from distillab.data.examples import Examples, Pixels
from distillab.data.generated import MOST, Maker, generated
from distillab.data.randomness import random_bits
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import rounded
from distillab.modalities.image.decoding import decode
from distillab.modalities.image.synthetic import Crops, DeadLeaves, Noise
from distillab.sources.source import SourcePath

Kind = Literal["held_out", "other_classes", "other_dataset", "synthetic", "noise", "one_photo"]
Ratio = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]

KINDS: dict[Kind, str] = {
    "held_out": "images of the same domain",
    "other_classes": "images of other classes",
    "other_dataset": "images of another dataset",
    "synthetic": "synthetic images",
    "noise": "images of noise",
    "one_photo": "crops of one photo",
}


@factor("unlabelled")
class Unlabelled(Factor):
    """Images without labels beside the labelled ones. Level: how many for each labelled one, or a kind.

    Students learn from them what the teacher says about them and nothing else; to the plain student, which
    sees the same batches, they teach nothing. If the levels are numbers, ``kind`` says what the images show.
    If they are kinds (or ``none``), there are ``ratio`` of each for a labelled image.

    - ``held_out``: training images of the classes at hand that factors written before left out, such as size;
    - ``other_classes``: training images of classes that factors written before left out;
    - ``other_dataset``: training images of ``dataset``, one of the study's ``others``;
    - ``synthetic``: dead leaves, shapes that occlude each other (Baradad et al., "Learning to see by looking
      at noise", NeurIPS 2021);
    - ``noise``: pixels drawn one by one;
    - ``one_photo``: crops of one training image, or of the file ``photo``, at many scales and in other
      colours (Asano and Saeed, "The augmented image prior", ICLR 2023).

    Which images are taken is decided by their ids, so that the images of a level stand among those of a
    higher one.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"images"})
    needs_context: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        *({"level": level, "kind": kind} for kind in KINDS for level in (0.0, 0.25, 0.5)),
        {"level": "none"},
        *({"level": kind, "ratio": 0.25} for kind in reversed(KINDS)),
    )

    level: Ratio | Literal["none", Kind]
    kind: Kind | None = None
    ratio: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)] | None = None
    dataset: str | None = None
    photo: SourcePath | None = None

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if isinstance(self.level, str):
            if self.kind is not None:
                raise ValueError("key 'kind' goes with levels that are numbers; here the levels are kinds")
            return self
        if self.ratio is not None:
            raise ValueError("key 'ratio' goes with levels that are kinds; here the levels are ratios")
        for key, kind in (("dataset", "other_dataset"), ("photo", "one_photo")):
            if getattr(self, key) is not None and self._kind != kind:
                raise ValueError(f"key {key!r} goes with kind: {kind}")
        return self

    @model_validator(mode="after")
    def _roles_learn(self) -> Self:
        if not {"transfer", "teacher"} >= set(self.roles):
            raise ValueError("images without labels can be added to the roles transfer and teacher alone")
        return self

    @property
    def _kind(self) -> Kind:
        return cast(Kind, self.level) if isinstance(self.level, str) else self.kind or "held_out"

    @property
    def _ratio(self) -> float:
        if isinstance(self.level, str):
            return 0.0 if self.level == "none" else 1.0 if self.ratio is None else self.ratio
        return self.level

    @property
    def phrase(self) -> str:
        if isinstance(self.level, str):
            return "unlabelled images: {}"
        return f"{{}} unlabelled {KINDS[self._kind]} a labelled one"

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The images, and those without labels below them. Raises RequestError if there are not enough, or
        if they have another shape."""
        context = self.context_of(context)
        key = int(rng.integers(2**63))
        number = int(rounded(self._ratio * images.labelled.sum()))
        if not number:
            return images
        added = self._generated(images, number, key, context) or self._taken(images, number, key, context)
        if added.shape != images.shape:
            raise RequestError(
                f"{KINDS[self._kind]} have shape {_size(added)}, the labelled ones {_size(images)}",
                where="unlabelled",
                allowed="images of one shape",
            )
        return stacked(images, added.unlabelled_like(images))

    def _generated(self, images: Examples, number: int, key: int, context: FactorContext) -> Examples | None:
        """Images that are made, of kinds that are."""
        if self._kind not in ("synthetic", "noise", "one_photo"):
            return None
        if number > MOST:
            raise self._too_many(number, MOST, images)
        maker: Maker = Noise(key)
        if self._kind == "synthetic":
            maker = DeadLeaves(key)
        elif self._kind == "one_photo":
            maker = Crops(self._photo(images.shape[0], key, context), key)
        return generated(maker, number, images.shape, images.classes, key)

    def _photo(self, channels: int, key: int, context: FactorContext) -> Pixels:
        """The photo that crops are taken from, uint8 ``[C, H, W]``."""
        if self.photo is None:
            train = context.dataset.train
            photo = train.pixels(np.array([random_bits(train.ids, key).argmin()]))[0]
        else:
            try:
                read = decode(self.photo, channels=channels)
            except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
                raise RequestError(
                    f"{str(self.photo)!r} cannot be read: {error}",
                    where="unlabelled.photo",
                    allowed="a file that holds an image",
                ) from error
            photo = read[None] if read.ndim == 2 else np.moveaxis(read, -1, 0)
        return np.ascontiguousarray(np.broadcast_to(photo, (channels, *photo.shape[1:])))

    def _taken(self, images: Examples, number: int, key: int, context: FactorContext) -> Examples:
        """Images that were read, in an order drawn for their ids."""
        there = (
            self._other(context) if self._kind == "other_dataset" else _left_out(images, self._kind, context)
        )
        if number > len(there):
            raise self._too_many(number, len(there), images)
        first = np.lexsort((there.ids, random_bits(there.ids, key)))[:number]
        return there.select(first)

    def _other(self, context: FactorContext) -> Examples:
        others = context.dataset.others
        if not others:
            raise RequestError(
                "there is no other dataset to take images from",
                where="unlabelled",
                allowed="a dataset named in the study under 'others'",
            )
        if self.dataset is None and len(others) > 1:
            raise RequestError(
                "it is not said which other dataset", where="unlabelled.dataset", allowed=", ".join(others)
            )
        name = self.dataset or next(iter(others))
        if name not in others:
            raise unknown_name("dataset", name, others, where="unlabelled.dataset")
        return others[name].train

    def _too_many(self, number: int, most: int, images: Examples) -> RequestError:
        labelled = int(images.labelled.sum())
        why = {
            "held_out": ": training images that factors written before have left out",
            "other_classes": ": training images of classes that factors written before have left out",
        }
        ratio = np.floor(1000 * most / labelled) / 1000
        return RequestError(
            f"{number} unlabelled {KINDS[self._kind]} were asked for",
            where="unlabelled",
            allowed=f"at most {most}, {ratio:g} a labelled one{why.get(self._kind, '')}",
        )

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Count: images without labels that were not there before, by images with labels."""
        labelled = int(after.labelled.sum())
        added = int((~after.labelled & ~np.isin(after.ids, before.ids)).sum())
        tolerance = 0.5 / labelled + 1e-9
        return Manipulation(self.name, "unlabelled / labelled", self._ratio, added / labelled, tolerance)


def _left_out(images: Examples, kind: Kind, context: FactorContext) -> Examples:
    """Training images that are not among ``images``: of the classes that are, or of those that are not."""
    train = context.dataset.train
    inside = np.isin(train.ids, images.ids)
    held = np.zeros(len(train.classes), dtype=bool)
    held[train.labels[inside]] = True
    wanted = held[train.labels] if kind == "held_out" else ~held[train.labels]
    return train.select(wanted & ~inside)


def _size(images: Examples) -> str:
    return "x".join(str(side) for side in images.shape)
