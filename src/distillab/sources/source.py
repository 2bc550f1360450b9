"""The contract of a source: where images come from, as a frozen configuration that can be read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from distillab.data.examples import Indices
from distillab.data.raw import RawImage
from distillab.errors import RequestError
from distillab.modalities.image.decoding import SMALLEST_SIDE
from distillab.registry import Registry


@dataclass(frozen=True, eq=False)
class RawSplit:
    """The images of one split before decoding, in the source's canonical order.

    Attributes:
        images: N images, see :data:`RawImage`.
        labels: int64 ``[N]`` in ``[0, len(classes))`` of the :class:`RawSplits` it stands in.
        names: N printable names (a path, or a row such as ``train[17]``) for messages.
        groups: optional int64 ``[N]`` in ``[0, len(group_names))``.
    """

    images: Sequence[RawImage]
    labels: Indices
    names: Sequence[str]
    groups: Indices | None = None


@dataclass(frozen=True, eq=False)
class RawSplits:
    """What a source holds: a train split, and val and test splits if it has them.

    ``classes`` are the class names in label order; ``notes`` are sentences for the data report; ``parents``
    names the coarser class of each class, in the same order, if the source knows it.
    """

    classes: tuple[str, ...]
    train: RawSplit
    val: RawSplit | None = None
    test: RawSplit | None = None
    group_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    def given(self) -> dict[str, RawSplit]:
        """The splits that the source has, in canonical order: train, val, test."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


def _from_base(path: Path, info: ValidationInfo) -> Path:
    """Relative paths of a study file are relative to its folder, which validation gets as context."""
    base = (info.context or {}).get("base")
    return base / path.expanduser() if base else path.expanduser()


def _class_names(value: Any) -> Any:
    """YAML reads ``classes: [3, 8]`` as numbers, but they are names."""
    if not isinstance(value, list):
        return value
    names = [str(item) if isinstance(item, (int, float)) else item for item in value]
    if len(names) < 2 or len({str(name) for name in names}) < len(names):
        raise RequestError(
            f"{names} is not a choice of classes", allowed="at least two different class names"
        )
    return names


SourcePath = Annotated[Path, AfterValidator(_from_base)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Source(BaseModel, ABC):
    """Where images come from. The keys here are those that every source takes.

    Subclasses live one a file, are registered with ``@source("name")``, add their own keys and implement
    :meth:`read`. The first line of their docstring is what ``distillab list sources`` prints.

    Attributes:
        resolution: side in pixels of the square that every image is resized to (antialiased bilinear), or
            None to take the images as they are, which must then be equally large.
        channels: 1 (grey), 3 (RGB), or None: 1 if the pixels of every image are grey, else 3.
        classes: keep only these classes, or the first k; relabelled 0..k-1 in the source's label order.
        val: share of train that is carved for val if the source has no val split (after test is carved).
        test: share of train that is carved for test if the source has no test split.
        split_seed: seed of the carving.
        split_by: whether images are carved one by one, or by whole groups, so that no group stands on both
            sides.
        on_broken: whether images that cannot be decoded stop the reading or are left out and reported.
        duplicates: whether train and val images that also stand in test, and train images that also stand
            in val, are dropped or kept. They are counted in either case.
        name: what the dataset is called in results; by default the source's own name for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = ""
    argument: ClassVar[str | None] = None  # the key that `source:argument` on the command line fills

    resolution: int | None = Field(default=None, ge=SMALLEST_SIDE)
    channels: Literal[1, 3] | None = None
    classes: Annotated[list[str] | Annotated[int, Field(ge=2)] | None, BeforeValidator(_class_names)] = None
    val: Share = 0.1
    test: Share = 0.2
    split_seed: int = 0
    split_by: Literal["image", "group"] = "image"
    on_broken: Literal["stop", "skip"] = "stop"
    duplicates: Literal["drop", "keep"] = "drop"
    name: str | None = None

    @property
    def dataset_name(self) -> str:
        """The dataset's name in results."""
        return self.name or self.default_name()

    def default_name(self) -> str:
        """What the dataset is called if ``name`` is not set."""
        return self.kind

    def entry(self) -> dict[str, Any]:
        """The mapping that :func:`parse_source` reads back into this source (JSON-able, no defaults)."""
        return {"source": self.kind, **self.model_dump(mode="json", exclude_defaults=True)}

    @abstractmethod
    def read(self) -> RawSplits:
        """Find the images and their labels, without decoding. Raises RequestError if that cannot be done."""


sources: Registry[type[Source]] = Registry("source")

S = TypeVar("S", bound=Source)


def source(name: str) -> Callable[[type[S]], type[S]]:
    """Class decorator that registers a source under ``name``."""

    def enter(cls: type[S]) -> type[S]:
        cls.kind = name
        sources.register(name)(cls)
        return cls

    return enter
