"""The ``huggingface`` source: datasets by their name on the Hugging Face Hub (an extra)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import AfterValidator, ValidationInfo

from distillab.config import expand_home
from distillab.errors import RequestError
from distillab.extras import missing_extra
from distillab.sources.columns import choose_image_column, column_images, existing_columns
from distillab.sources.source import ImageSource, RawSplits, source
from distillab.sources.table import TableItems, TableSource


def _local_from_base(path: str, info: ValidationInfo) -> str:
    """Resolve a path that exists, relative to the study file; leave the name of a dataset on the Hub."""
    local = (info.context or {}).get("base", Path()) / expand_home(Path(path))
    return str(local) if local.exists() else path


HubDataset: TypeAlias = Any
"""A ``datasets.Dataset``; the package is optional and untyped."""


@source("huggingface")
class HuggingFace(TableSource, ImageSource):
    """A dataset on the Hugging Face Hub by name, or a local folder (needs distillab[huggingface]).

    ``image`` and ``label`` are columns, and need not be named if there is only one choice. ``labels``,
    ``separator``, ``group`` and ``coarse`` are those of :class:`~distillab.sources.table.TableSource`.

    Attributes:
        path: The first argument of ``datasets.load_dataset``, or a folder that ``save_to_disk`` wrote.
        config: The name of the dataset's configuration.
        image: The column of images.

    Example:
        >>> HuggingFace(path="uoft-cs/cifar100", label="fine_label").dataset_name
        'cifar100'
    """

    argument: ClassVar[str | None] = "path"
    names_splits: ClassVar[bool] = True

    path: Annotated[str, AfterValidator(_local_from_base)]
    config: str | None = None
    image: str | None = None

    def default_name(self) -> str:
        return Path(self.path).name

    def read(self) -> RawSplits:
        splits, notes = self._load()
        raw = self.splits_in(splits)
        return replace(raw, notes=raw.notes + notes)

    def splits_in(self, splits: Mapping[str, HubDataset]) -> RawSplits:
        """Return the examples of datasets, one per split, train first. Raises RequestError."""
        splits = {split: data for split, data in splits.items() if split not in self.unused_splits}
        schemas = {split: data.features.arrow_schema for split, data in splits.items()}
        tables = {split: data.with_format("arrow")[:] for split, data in splits.items()}
        schema = schemas["train"]  # carries the class names that a table may have lost
        image = choose_image_column(schema, self.image, self.path)
        labels = self.label_columns([name for name in schema.names if name != image], self.path)
        needed = {"image": image, **dict(zip(labels, labels, strict=True))}
        for split, table in tables.items():
            where = f"{self.path}: {split}"
            existing_columns(needed, table.column_names, where)
            self.further_columns(table.column_names, where)
        items = {
            split: TableItems(*column_images(table[image], split, Path(self.path)))
            for split, table in tables.items()
        }
        places = {f"{self.path}: {split}": each for split, each in schemas.items()}
        return self.splits_of(tables, items, places, labels, self.path)

    def _load(self) -> tuple[dict[str, HubDataset], tuple[str, ...]]:
        """Return a ``datasets.Dataset`` per split, by our names, train first, and notes on others."""
        try:
            import datasets
        except ImportError:
            where = "source: huggingface"
            raise missing_extra("this source", "datasets", "huggingface", where=where) from None
        saved = Path(self.path)
        try:
            if (saved / "dataset_dict.json").is_file() or (saved / "state.json").is_file():
                loaded = datasets.load_from_disk(self.path)
            else:
                loaded = datasets.load_dataset(self.path, name=self.config)
            for each in [loaded] if isinstance(loaded, datasets.Dataset) else loaded.values():
                each.data.validate(full=True)  # reading a damaged Arrow file ends the process
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise RequestError(f"cannot be loaded: {error}", where=self.path) from None
        if isinstance(loaded, datasets.Dataset):
            return {"train": loaded}, ()
        chosen = self.split_choice.of(list(loaded), self.path, single=True)
        named = {
            split: [name for name, of in chosen.items() if of == split] for split in ("train", "val", "test")
        }
        if not named["train"]:
            raise RequestError(
                f"has the splits {', '.join(loaded)}",
                where=self.path,
                allowed="one called train, or `splits: {train: NAME}`",
            )
        others = [f"{name} ({len(loaded[name]):,} rows)" for name in loaded if name not in chosen]
        notes = (f"Splits left out: {', '.join(others)}.",) if others else ()
        return {
            split: loaded[names[0]]
            if len(names) == 1
            else datasets.concatenate_datasets([loaded[name] for name in names])
            for split, names in named.items()
            if names
        }, notes
