"""The contract of a source: where examples come from, as a frozen configuration that can be read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from distillab.config import PublicConfig, expand_home
from distillab.data.examples import Indices
from distillab.data.label_boxes import LabelBox
from distillab.data.raw import Progress, RawImage
from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.modalities import Decoded
from distillab.modalities.image.decoding import SMALLEST_SIDE, decode_images
from distillab.modalities.image.opening import MAX_PIXELS
from distillab.modalities.image.rendering import PixelSettings
from distillab.registry import Registry
from distillab.sources.duplicate_rules import StatedDuplicates
from distillab.sources.split_names import SplitChoice, read_split_choice


@dataclass(frozen=True, eq=False)
class RawSplit:
    """The examples of one split before decoding, in the source's canonical order.

    Attributes:
        items: N encoded or unread examples, of the type that the source's :meth:`Source.decode` accepts
            (:data:`~distillab.data.raw.RawImage` for images).
        targets: N targets over the classes of the enclosing :class:`RawSplits`.
        names: N printable names (a path, or a row such as ``train[17]``) for messages.
        groups: Optional int64 ``[N]`` in ``[0, len(group_names))``.
        wholes: Optional int64 ``[N]``, the number of what each example is a part of, such as a recording,
            over all splits. Parts of one whole are never carved apart.

    Example:
        >>> import numpy as np
        >>> from distillab.data.targets import Labels
        >>> targets = Labels(np.array([0, 1]), classes=2)
        >>> split = RawSplit([Path("a.png"), Path("b.png")], targets, ["a.png", "b.png"])
        >>> len(split.items), split.groups
        (2, None)
    """

    items: Sequence[Any]
    targets: Targets
    names: Sequence[str]
    groups: Indices | None = None
    wholes: Indices | None = None


@dataclass(frozen=True, eq=False)
class RawSplits:
    """The content of a source: a train split, and val and test splits if it has them.

    Attributes:
        classes: Class names in label order.
        train: The training split.
        val: The validation split, or None.
        test: The test split, or None.
        group_names: Names of the groups, in order.
        notes: Sentences for the data report.
        parents: The coarser class of each class, in label order; empty if the source does not know it.
        left_out: Number of files that were not read, by what they are.

    Example:
        >>> import numpy as np
        >>> from distillab.data.targets import Labels
        >>> split = RawSplit([Path("a.png")], Labels(np.array([1]), classes=2), ["a.png"])
        >>> list(RawSplits(("cat", "dog"), train=split, test=split).given())
        ['train', 'test']
    """

    classes: tuple[str, ...]
    train: RawSplit
    val: RawSplit | None = None
    test: RawSplit | None = None
    group_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def given(self) -> dict[str, RawSplit]:
        """Return the splits that the source has, in canonical order: train, val, test."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def without(self, names: Collection[str]) -> RawSplits:
        """Return these splits without val or test, if they are named."""
        return replace(
            self,
            val=None if "val" in names else self.val,
            test=None if "test" in names else self.test,
        )


def _from_base(path: Path, info: ValidationInfo) -> Path:
    """Resolve a relative path against the study file's folder, which validation receives as context."""
    base = (info.context or {}).get("base")
    return base / expand_home(path) if base else expand_home(path)


def _class_names(value: Any) -> Any:
    """Turn numbers in a list into names: YAML reads ``classes: [3, 8]`` as numbers."""
    if not isinstance(value, list):
        return value
    names = [str(item) if isinstance(item, (int, float)) else item for item in value]
    if len(names) < 2 or len({str(name) for name in names}) < len(names):
        raise RequestError(
            f"{names} is not a choice of classes", allowed="at least two different class names"
        )
    return names


def _unit(value: Any) -> Any:
    """Accept ``example``, the general word, for ``image``, the stored one."""
    return "image" if value == "example" else value


def _ascending(value: Any) -> Any:
    """Return a range of values. Raises RequestError unless its ends are finite and ascend."""
    if value != "auto" and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
        raise RequestError(
            f"{list(value)} is not a range", allowed="auto, or two values, the lower one first: [0, 4095]"
        )
    return value


_Byte = Annotated[int, Field(ge=0, le=255)]
SplitUnit = Annotated[Literal["image", "group"], BeforeValidator(_unit)]
SourcePath = Annotated[Path, AfterValidator(_from_base)]
SplitShare = Annotated[float, Field(gt=0, lt=1)]
StatedSplits = Annotated[dict[str, str | list[str] | None] | None, BeforeValidator(read_split_choice)]


class Source(PublicConfig, ABC):
    """Base class of sources: where examples come from. Its keys are those that every source accepts.

    A subclass lives in a file of its own, is registered with ``@source("name")``, adds its own keys and
    implements :meth:`read` and, if its modality has no base class yet, :meth:`decode`. The first line of its
    docstring is what ``distillab list sources`` prints.

    Attributes:
        classes: Keep only these classes, or the first k; relabelled 0..k-1 in the source's label order.
        val: Share of train that is carved for val if the source has no val split (after test is carved).
        test: Share of train that is carved for test if the source has no test split.
        splits: The source's own name of a split, or a list of them, by split, where it differs from the usual
            ones: ``{train: Training, test: [fold4, fold5]}``. ``null`` leaves a split out, which is then
            carved. Splits that are not stated are found by their names.
        split_seed: Seed of the carving.
        split_by: Whether single examples are carved (``image``, also written ``example``), or whole groups
            (``group``), so that no group is in two splits.
        on_broken: Whether an example that cannot be decoded stops the reading, or is left out and reported.
        duplicates: Whether train and val examples that are also in test, and train examples that are also in
            val, are dropped or kept. They are counted in either case. ``{near: drop}`` drops near copies too,
            see :class:`~distillab.sources.duplicate_rules.DuplicateRules`.
        rare_classes: What becomes of classes that have too few examples for every split: they are left out
            (``drop``), merged into a class called ``other``, or used for training alone (``train``). If it is
            not stated, they are an error.
        unseen_classes: Classes that are tested and never trained on, such as speakers to be verified: names,
            or the number of the last ones. Val is carved from the others. It needs ``task: verification``.
        trials: A text file of pairs of examples to be verified, one per line: ``1`` (same class) or ``0``,
            and two names. Their examples are the test set, and their classes are held out as with
            ``unseen_classes``.
        name: The dataset's name in results; by default the source's own name for it.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> source = Digits(classes=["3", "8"], name="two digits")
        >>> source.dataset_name, source.modality
        ('two digits', 'image')
    """

    kind: ClassVar[str] = ""
    modality: ClassVar[str] = "image"
    argument: ClassVar[str | None] = None  # the key that `source:argument` on the command line sets
    names_splits: ClassVar[bool] = False  # whether the splits have names of their own, for the key `splits`

    classes: Annotated[list[str] | Annotated[int, Field(ge=2)] | None, BeforeValidator(_class_names)] = None
    val: SplitShare = 0.1
    test: SplitShare = 0.2
    splits: StatedSplits = None
    split_seed: int = 0
    split_by: SplitUnit = "image"
    on_broken: Literal["stop", "skip"] = "stop"
    duplicates: StatedDuplicates = "drop"
    rare_classes: Literal["drop", "other", "train"] | None = None
    unseen_classes: Annotated[
        list[str] | Annotated[int, Field(ge=2)] | None, BeforeValidator(_class_names)
    ] = None
    trials: SourcePath | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _splits_have_names(self) -> Source:
        if not self.names_splits and any((self.splits or {}).values()):
            raise RequestError(
                f"the splits of source {self.kind!r} have no names of their own",
                where="splits",
                allowed="null, which leaves a split out",
            )
        return self

    @property
    def joins_parts(self) -> bool:
        """Whether an example of val and test consists of all parts of a whole, such as a recording."""
        return False

    @property
    def unused_splits(self) -> tuple[str, ...]:
        """The splits that ``splits`` leaves out."""
        return tuple(split for split, own in (self.splits or {}).items() if own is None)

    @property
    def exact_duplicates(self) -> Literal["drop", "keep"]:
        """Whether exact duplicates across splits are dropped or kept."""
        return self.duplicates if isinstance(self.duplicates, str) else self.duplicates.exact

    @property
    def near_copies(self) -> Literal["drop", "keep", "ignore"]:
        """Whether near copies across splits are dropped, counted and kept, or not looked for."""
        return "keep" if isinstance(self.duplicates, str) else self.duplicates.near

    @property
    def dataset_name(self) -> str:
        """The dataset's name in results."""
        return self.name or self.default_name()

    def default_name(self) -> str:
        """Return the dataset's name if ``name`` is not set."""
        return self.kind

    def entry(self) -> dict[str, object]:
        """Return a JSON mapping, without defaults, that :func:`parse_source` reads back into this source."""
        return {"source": self.kind, **self.model_dump(mode="json", exclude_defaults=True)}

    @property
    def split_choice(self) -> SplitChoice:
        """The source's own names of splits, as ``splits`` states them."""
        stated = self.splits or {}
        return SplitChoice(
            {
                split: () if own is None else (own,) if isinstance(own, str) else tuple(own)
                for split, own in stated.items()
            }
        )

    def with_shape_of(self, shape: tuple[int, ...]) -> Source:
        """Return this source, set to give examples of ``shape`` if it leaves their shape open."""
        return self

    def check_paths(self) -> None:
        """Raise RequestError if a file or folder that the source names does not exist. Reads nothing."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, Path) and not value.exists():
                raise RequestError("there is no such file or folder", where=str(value))

    @abstractmethod
    def read(self) -> RawSplits:
        """Find the examples and their labels, without decoding. Raises RequestError if that is impossible."""

    def boxes(self) -> Mapping[str, Sequence[LabelBox]]:
        """Return boxes around what labels are about, by the names of images in :meth:`read`; none by default.

        Raises:
            RequestError: A file of boxes cannot be read.
        """
        return {}

    @abstractmethod
    def decode(self, items: Sequence[Any], names: Sequence[str], progress: Progress | None = None) -> Decoded:
        """Decode examples.

        Args:
            items: N items of this source's splits.
            names: Their N names, for messages.
            progress: Called with (stage, done, total).

        Raises:
            RequestError: Examples of different shapes, or not one that can be decoded.
        """


class ImageSource(Source):
    """Base class of sources of images, with the keys that all of them accept.

    Attributes:
        resolution: Side in pixels of the square that every image is resized to (antialiased bilinear), or
            None to keep the images as they are, which must then be of one size.
        channels: 1 (gray), 3 (RGB), or None: 1 if the pixels of every image are gray, else 3.
        intensity: The two values that become black and white where images have more than 8 bits, such as
            ``[0, 4095]``, or ``auto``: the range of the whole set.
        background: What shows through transparent parts: ``black``, ``white``, ``gray``, a color such as
            ``[255, 240, 200]``, or ``auto``: the first of these on which the most images are visible.
        max_pixels: Width times height above which an image counts as broken; a guard against files that
            would fill the memory.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> Digits().with_shape_of((1, 16, 16)).entry()
        {'source': 'digits', 'resolution': 16}
    """

    modality: ClassVar[str] = "image"

    resolution: int | None = Field(default=None, ge=SMALLEST_SIDE)
    channels: Literal[1, 3] | None = None
    intensity: Annotated[Literal["auto"] | tuple[float, float], AfterValidator(_ascending)] = "auto"
    background: Literal["auto", "black", "white", "gray"] | tuple[_Byte, _Byte, _Byte] = "auto"
    max_pixels: Annotated[int, Field(ge=SMALLEST_SIDE**2)] = MAX_PIXELS

    def with_shape_of(self, shape: tuple[int, ...]) -> Source:
        _, height, width = shape
        if self.resolution is not None or height != width:
            return self
        return self.model_copy(update={"resolution": height})

    def decode(
        self, items: Sequence[RawImage], names: Sequence[str], progress: Progress | None = None
    ) -> Decoded:
        return decode_images(
            items,
            names,
            resolution=self.resolution,
            channels=self.channels,
            settings=PixelSettings(self.intensity, self.background, self.max_pixels),
            progress=progress,
        )


sources: Registry[type[Source]] = Registry("source")

S = TypeVar("S", bound=Source)


def source(name: str) -> Callable[[type[S]], type[S]]:
    """Return a class decorator that registers a source under ``name``.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> sources["digits"] is Digits
        True
    """

    def register(cls: type[S]) -> type[S]:
        cls.kind = name
        sources.register(name)(cls)
        return cls

    return register
