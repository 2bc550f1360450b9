"""How many unlabelled examples there are beside the labelled ones, and what they show."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, cast

import numpy as np
from PIL import UnidentifiedImageError
from pydantic import Field, model_validator

from distillab.data.derived import stacked
from distillab.data.examples import IMAGE, Examples, Pixels
from distillab.data.generated import MOST, Maker, generated
from distillab.data.randomness import random_bits
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Level, Manipulation, factor
from distillab.factors.subsets import LABELS_OR_SETS, rounded
from distillab.modalities.image.decoding import decode
from distillab.modalities.image.synthetic import Crops, DeadLeaves, Noise
from distillab.sources.source import SourcePath

UnlabelledKind = Literal["held_out", "other_classes", "other_dataset", "synthetic", "noise", "one_photo"]
Ratio = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]

UNLABELLED_KINDS: dict[UnlabelledKind, str] = {
    "held_out": "examples of the same domain",
    "other_classes": "examples of other classes",
    "other_dataset": "examples of another dataset",
    "synthetic": "synthetic images",
    "noise": "images of noise",
    "one_photo": "crops of one photo",
}


@factor("unlabelled")
class Unlabelled(Factor):
    """Unlabelled examples beside the labelled ones. Level: how many per labelled one, or the name of a kind.

    Distilled students learn from the teacher's outputs on them and from nothing else. They come on top of the
    labelled examples of a batch, of which the plain student, which never gets them, has the same ones. If the
    levels are numbers, ``kind`` says what the examples are. If they are kinds (or ``none``), there are
    ``ratio`` of each per labelled example.

    - ``held_out``: training examples of the remaining classes that factors written before, such as size, have
      left out;
    - ``other_classes``: training examples of classes that factors written before have left out;
    - ``other_dataset``: training examples of ``dataset``, one of the study's ``others``;
    - ``synthetic``: dead leaves, shapes that occlude each other (Baradad et al., "Learning to see by looking
      at noise", NeurIPS 2021);
    - ``noise``: independently drawn pixels;
    - ``one_photo``: crops of one training image, or of the file ``photo``, at many scales and in changed
      colors (Asano and Saeed, "The augmented image prior", ICLR 2023).

    Examples are selected by their ids, so that those of a level are among those of a higher one.

    Attributes:
        level: Unlabelled examples per labelled one, or a kind.
        kind: What the examples are, if levels are numbers; ``held_out`` by default.
        ratio: Unlabelled examples per labelled one, if levels are kinds; 1 by default.
        dataset: The other dataset, for ``other_dataset``.
        photo: The file, for ``one_photo``.

    Example:
        >>> examples = Examples.of(np.zeros((4, 1, 8, 8), np.uint8), [0, 1, 0, 1], ("a", "b"))
        >>> from distillab.data.dataset import DataReport, Dataset
        >>> context = FactorContext(Dataset("blank", examples, examples, {"test": examples}, DataReport()))
        >>> factor = Unlabelled(level=0.5, kind="noise")
        >>> factor.apply(examples, np.random.default_rng(0), context).labels
        array([ 0,  1,  0,  1, -1, -1])
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"images"})
    needs_context: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
        *({"level": level, "kind": kind} for kind in UNLABELLED_KINDS for level in (0.0, 0.25, 0.5)),
        {"level": "none"},
        *({"level": kind, "ratio": 0.25} for kind in reversed(UNLABELLED_KINDS)),
    )
    references: ClassVar[tuple[Level, ...]] = ("none", 0.0)

    level: Ratio | Literal["none", UnlabelledKind]
    kind: UnlabelledKind | None = None
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
            raise ValueError("unlabelled examples can be added to the roles transfer and teacher alone")
        return self

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return (Labels,) if self._kind == "other_classes" else LABELS_OR_SETS

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        return (IMAGE,) if self._kind in ("synthetic", "noise", "one_photo") else None

    @property
    def other_dataset(self) -> str | None:
        return self.dataset

    @property
    def _kind(self) -> UnlabelledKind:
        return cast(UnlabelledKind, self.level) if isinstance(self.level, str) else self.kind or "held_out"

    @property
    def _ratio(self) -> float:
        if isinstance(self.level, str):
            return 0.0 if self.level == "none" else 1.0 if self.ratio is None else self.ratio
        return self.level

    @property
    def phrase(self) -> str:
        if isinstance(self.level, str):
            return "unlabelled examples: {}"
        return f"{{}} unlabelled {UNLABELLED_KINDS[self._kind]} per labelled one"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the examples followed by the unlabelled ones.

        Raises:
            RequestError: There are not enough unlabelled examples, or they have another shape.
        """
        context = self.require_context(context)
        key = int(rng.integers(2**63))
        number = int(rounded(self._ratio * examples.labelled.sum()))
        if not number:
            return examples
        added = self._generated(examples, number, key, context)
        if added is None:
            added = self._taken(examples, number, key, context)
        if added.shape != examples.shape:
            raise RequestError(
                f"{UNLABELLED_KINDS[self._kind]} have shape {_size(added)}, the labelled ones"
                f" {_size(examples)}",
                where="unlabelled",
                allowed="images of one shape",
            )
        return stacked(examples, added.unlabelled_like(examples))

    def _generated(
        self, examples: Examples, number: int, key: int, context: FactorContext
    ) -> Examples | None:
        """Return generated images, or None if images of this kind are not generated."""
        if self._kind not in ("synthetic", "noise", "one_photo"):
            return None
        if number > MOST:
            raise self._too_many(number, MOST, examples)
        maker: Maker = Noise(key)
        if self._kind == "synthetic":
            maker = DeadLeaves(key)
        elif self._kind == "one_photo":
            maker = Crops(self._photo(examples.shape[0], key, context), key)
        return generated(maker, number, examples.shape, examples.classes, key)

    def _photo(self, channels: int, key: int, context: FactorContext) -> Pixels:
        """Return the photo that crops are taken from, uint8 ``[C, H, W]``."""
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
                    allowed="an image file",
                ) from error
            photo = read[None] if read.ndim == 2 else np.moveaxis(read, -1, 0)
        return np.ascontiguousarray(np.broadcast_to(photo, (channels, *photo.shape[1:])))

    def _taken(self, examples: Examples, number: int, key: int, context: FactorContext) -> Examples:
        """Return images of a dataset, in an order drawn for their ids."""
        pool = (
            self._other(context)
            if self._kind == "other_dataset"
            else _left_out(examples, self._kind, context)
        )
        if number > len(pool):
            raise self._too_many(number, len(pool), examples)
        first = np.lexsort((pool.ids, random_bits(pool.ids, key)))[:number]
        return pool.select(first)

    def _other(self, context: FactorContext) -> Examples:
        others = context.dataset.others
        if not others:
            raise RequestError(
                "there is no other dataset to take examples from",
                where="unlabelled",
                allowed="a dataset named in the study under 'others'",
            )
        if self.dataset is None and len(others) > 1:
            raise RequestError(
                "there are several other datasets", where="unlabelled.dataset", allowed=", ".join(others)
            )
        name = self.dataset or next(iter(others))
        if name not in others:
            raise unknown_name("dataset", name, others, where="unlabelled.dataset")
        return others[name].train

    def _too_many(self, number: int, most: int, examples: Examples) -> RequestError:
        labelled = int(examples.labelled.sum())
        why = {
            "held_out": ": training examples that factors written before have left out",
            "other_classes": ": training examples of classes that factors written before have left out",
        }
        ratio = np.floor(1000 * most / labelled) / 1000
        return RequestError(
            f"{number} unlabelled {UNLABELLED_KINDS[self._kind]} were requested",
            where="unlabelled",
            allowed=f"at most {most}, {ratio:g} per labelled one{why.get(self._kind, '')}",
        )

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the ratio of added unlabelled examples to labelled ones."""
        labelled = int(after.labelled.sum())
        added = int((~after.labelled & ~np.isin(after.ids, before.ids)).sum())
        tolerance = 0.5 / labelled + 1e-9
        return Manipulation(self.name, "unlabelled / labelled", self._ratio, added / labelled, tolerance)


def _left_out(examples: Examples, kind: UnlabelledKind, context: FactorContext) -> Examples:
    """Return training examples that are not among ``examples``.

    With one class per example, they are of the classes present, or of all others.
    """
    train = context.dataset.train
    inside = np.isin(train.ids, examples.ids)
    if not isinstance(train.targets, Labels):
        return train.select(~inside)
    present = np.zeros(len(train.classes), dtype=bool)
    present[train.labels[inside]] = True
    wanted = present[train.labels] if kind == "held_out" else ~present[train.labels]
    return train.select(wanted & ~inside)


def _size(examples: Examples) -> str:
    return "x".join(str(side) for side in examples.shape)
