"""The ``huggingface`` source: datasets by their name on the Hugging Face Hub (an extra)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ValidationInfo

from distillab.errors import RequestError
from distillab.sources.columns import (
    choose_image_column,
    choose_label_column,
    class_names,
    must_agree,
    optional_columns,
    table_splits,
)
from distillab.sources.folder import SPLIT_NAMES
from distillab.sources.source import ImageSource, RawSplits, source


def _local_from_base(path: str, info: ValidationInfo) -> str:
    """A path that exists, relative to the study file, is that folder; anything else is a name on the Hub."""
    local = (info.context or {}).get("base", Path()) / Path(path).expanduser()
    return str(local) if local.exists() else path


@source("huggingface")
class HuggingFace(ImageSource):
    """A dataset on the Hugging Face Hub by name, or a local folder (needs distillab[huggingface]).

    ``path`` is what ``datasets.load_dataset`` takes, or a folder that ``save_to_disk`` wrote; ``config`` is
    the configuration's name. ``image`` and ``label`` are columns, and need not be named if there is one
    choice only; ``group`` optionally names a column of groups, and ``coarse`` one of coarser classes.
    """

    argument: ClassVar[str | None] = "path"

    path: Annotated[str, AfterValidator(_local_from_base)]
    config: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    coarse: str | None = None

    def default_name(self) -> str:
        return Path(self.path).name

    def read(self) -> RawSplits:
        splits = self._load()
        where = self.path
        features = splits["train"].features
        tables = {split: data.with_format("arrow")[:] for split, data in splits.items()}
        schema = features.arrow_schema  # carries the class names that a table may have lost
        image = choose_image_column(schema, self.image, where)
        label = choose_label_column(schema, self.label, image, where)
        asked = {"image": image, "label": label, "group": self.group, "coarse": self.coarse}
        for split, table in tables.items():
            optional_columns(asked, table.column_names, f"{where}: {split}")
        for column in filter(None, (label, self.coarse)):
            schemas = {f"{where}: {split}": data.features.arrow_schema for split, data in splits.items()}
            must_agree({place: class_names(each, column) for place, each in schemas.items()}, column)
        return table_splits(
            tables,
            image=image,
            label=label,
            group=self.group,
            coarse=self.coarse,
            names=class_names(schema, label),
            coarse_names=class_names(schema, self.coarse) if self.coarse else None,
            folders=dict.fromkeys(tables, Path(self.path)),
            where=where,
        )

    def _load(self) -> dict[str, Any]:
        """A ``datasets.Dataset`` a split, by our names, train first."""
        try:
            import datasets
        except ImportError:
            raise RequestError(
                "the package 'datasets' is not installed: pip install distillab[huggingface]",
                where="source: huggingface",
            ) from None
        saved = Path(self.path)
        try:
            if (saved / "dataset_dict.json").is_file() or (saved / "state.json").is_file():
                loaded = datasets.load_from_disk(self.path)
            else:
                loaded = datasets.load_dataset(self.path, name=self.config)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise RequestError(f"cannot be loaded: {error}", where=self.path) from None
        if isinstance(loaded, datasets.Dataset):
            return {"train": loaded}
        named = {SPLIT_NAMES[name]: data for name, data in loaded.items() if name in SPLIT_NAMES}
        if "train" not in named:
            raise RequestError(
                f"has the splits {', '.join(loaded)}", where=self.path, allowed="one called train"
            )
        return {split: named[split] for split in ("train", "val", "test") if split in named}
