"""StoredPredictions: a teacher of which only its predictions for named files are known."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logit
from torch import Tensor

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.models.black_box import BlackBox
from distillab.models.output_checks import sums_to_one
from distillab.parquet_files import read_parquet

NAME_COLUMNS: Final = (
    *("file", "file_name", "filename", "files", "path", "image_path", "filepath", "image"),
    *("image_id", "name", "names", "id", "key"),
)
"""The columns in which the names of files are looked for, in this order."""
VALUE_COLUMNS: Final = (
    *("logits", "probabilities", "probs", "proba", "predictions", "scores", "outputs", "softmax"),
)
CLASS_COLUMNS: Final = ("classes", "class_names", "labels", "names_of_classes")
NO_CLASSES: Final = frozenset(
    {"label", "target", "y", "index", "__index_level_0__", "split", "prediction", "predicted", "confidence"}
    | {"correct", "pred", "fold"}
)
"""ReadColumns of numbers that are no classes."""
SMALLEST_STORED: Final = 1e-6
ROUNDING: Final = 0.02  # of a sum of rounded probabilities
MISSING_SHOWN: Final = 3  # missing files in a message
DIGEST_BYTES: Final = 16
ALLOWED_TABLES: Final = (
    "a table with a column `file` of file names, and one column of numbers per class or a column `logits` or "
    "`probabilities` of lists; or an .npz with arrays `files` and `logits` or `probabilities`"
)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions by file name.

    Attributes:
        path: The file.
        names: The names of the files.
        values: Logits, float32 ``[N, classes]``.
        classes: The names of the classes in order, if they are stated.
        ending: What the file holds if not logits: ``softmax`` or ``sigmoid`` probabilities, undone here.

    Example:
        >>> table = PredictionTable(Path("p.npz"), ("a.png",), np.zeros((1, 2), np.float32), ("cat", "dog"))
        >>> table.rows_of(["train/a.png", "train/b.png"]).tolist()
        [0, -1]
    """

    path: Path
    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    classes: tuple[str, ...] = ()
    ending: str = ""

    def rows_of(self, names: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the row of each name, int64 ``[n]``; -1 for those that are not there.

        A name is found by the longest end of its path: ``train/cat/a.png`` is ``cat/a.png`` or ``a.png`` in
        the table, or ``/data/train/cat/a.png``. Endings such as ``.png`` may be missing in the table. A row
        in a folder of another name does not match if others lie in folders of the same name.

        Raises:
            RequestError: Several rows match a name equally well, and differ; or one row matches several
                names.
        """
        wanted = list(names)
        rows = [self._row_of(name) for name in wanted]
        shared = [self._n_shared(name, row) for name, row in zip(wanted, rows, strict=True)]
        if any(shared):
            has_folder = [len(_parts(name)) > 1 for name in wanted]
            for place, row in enumerate(rows):
                elsewhere = row >= 0 and has_folder[place] and len(self._parts_of_names[row]) > 1
                if elsewhere and not shared[place]:
                    rows[place] = -1
        self._must_serve_one_name_each(wanted, rows)
        return np.array(rows, np.int64)

    def _n_shared(self, name: str, row: int) -> int:
        """Return how many folders a name shares with that of a row."""
        return _shared(_parts(name)[:-1], self._parts_of_names[row][:-1]) if row >= 0 else 0

    def _must_serve_one_name_each(self, names: Sequence[str], rows: Sequence[int]) -> None:
        """Raise RequestError if one row was found for different files."""
        found: dict[int, str] = {}
        for name, row in zip(names, rows, strict=True):
            if row >= 0 and found.setdefault(row, name) != name:
                raise RequestError(
                    f"{self.names[row]!r} could be {found[row]!r} or {name!r}, and there is one row for both",
                    where=str(self.path),
                    allowed="a row for each file of the data, under its path",
                )

    @cached_property
    def _by_last(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.names):
            found[_parts(name)[-1]].append(row)
        return found

    @cached_property
    def _parts_of_names(self) -> list[tuple[str, ...]]:
        return [_parts(name) for name in self.names]

    def _row_of(self, name: str) -> int:
        parts = _parts(name)
        rows = self._by_last.get(parts[-1]) or self._by_last.get(PurePosixPath(parts[-1]).stem) or []
        if len(rows) < 2:
            return rows[0] if rows else -1
        shared = [_shared(parts[:-1], self._parts_of_names[row][:-1]) for row in rows]
        best = [row for row, length in zip(rows, shared, strict=True) if length == max(shared)]
        if len(best) > 1 and not (self.values[best] == self.values[best[0]]).all():
            raise RequestError(
                f"{len(best)} rows could be {name!r}, such as {self.names[best[0]]!r} and "
                f"{self.names[best[1]]!r}",
                where=str(self.path),
                allowed="paths that differ in as many folders as those of the data",
            )
        return best[0]


class StoredPredictions(BlackBox):
    """The predictions of a teacher for some images, which are found by their pixels.

    It answers for these images alone, as the study reads them: not for views, nor for changed pixels.

    Example:
        >>> StoredPredictions(10)(torch.zeros(2, 3, 32, 32)).shape  # empty
        torch.Size([2, 10])
    """

    CONTENT: ClassVar[tuple[str, ...]] = ("settings", "keys", "logits")
    sees_originals: ClassVar[bool] = True

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self._rows: dict[bytes, int] | None = None

    def __getstate__(self) -> dict[str, object]:
        """Leave out the index, which follows from the content."""
        return {**self.__dict__, "_rows": None}

    def answer(self, x: Tensor) -> Tensor:
        """Return the stored logits, float32 ``[N, classes]``, for pixels ``[N, C, H, W]`` from 0 to 255.

        Raises:
            RequestError: There is none for an image.
        """
        pixels = np.rint(x.cpu().numpy()).clip(0, 255).astype(np.uint8)
        known = self._index()
        rows = [known.get(pixel_key(image), -1) for image in pixels]
        missing = rows.count(-1)
        if missing == 1 == len(rows) and (pixels == pixels[:, :, :1, :1]).all():
            return torch.zeros((1, self.classes or self.get_buffer("logits").shape[1]), device=x.device)
        if missing:
            raise RequestError(
                f"there are no stored predictions for {missing} of {len(rows)} images: their pixels are not "
                "those of the files",
                where="teacher.weights",
                allowed="images as they were read, without factors that change pixels",
            )
        found = self.get_buffer("logits")
        return found[torch.tensor(rows, device=found.device)].float().to(x.device)

    def _index(self) -> dict[bytes, int]:
        if self._rows is None:
            keys = self.get_buffer("keys").cpu().numpy()
            self._rows = {row.tobytes(): place for place, row in enumerate(keys)}
        return self._rows

    def store(self, facts: JsonObject, pixels: Iterable[npt.NDArray[np.uint8]], values: Any) -> int:
        """Set the predictions for images; those of identical ones are averaged.

        Args:
            facts: The settings.
            pixels: Batches of images, uint8 ``[n, C, H, W]``.
            values: Their logits, float32 ``[N, classes]``.

        Returns:
            How many images repeat another.
        """
        digests = [pixel_key(image) for batch in pixels for image in batch]
        places = {key: place for place, key in enumerate(sorted(set(digests)))}
        rows = np.array([places[key] for key in digests], np.int64)
        sums = np.zeros((len(places), values.shape[1]), np.float64)
        np.add.at(sums, rows, values)
        means = sums / np.bincount(rows, minlength=len(places))[:, None]
        keys = np.frombuffer(b"".join(places), np.uint8).reshape(-1, DIGEST_BYTES)
        self.classes, self._rows = values.shape[1], None
        self.fill(
            facts, keys=torch.from_numpy(keys.copy()), logits=torch.from_numpy(means.astype(np.float32))
        )
        return len(digests) - len(places)


def pixel_key(image: npt.NDArray[np.uint8]) -> bytes:
    """Return the content address of an image, uint8 ``[C, H, W]``.

    Example:
        >>> len(pixel_key(np.zeros((3, 8, 8), np.uint8)))
        16
    """
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST_BYTES).digest()


def read_predictions(path: Path) -> PredictionTable:
    """Return the predictions in a Parquet or .npz file.

    Args:
        path: The file. Probabilities whose rows sum to 1 (or 100) become their logarithms, others their
            log-odds.

    Raises:
        RequestError: It cannot be read, lacks names or numbers, or holds values that are not finite.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "answers.npz"
        >>> answers = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> np.savez(file, files=np.array(["a.png", "b.png"]), probabilities=answers)
        >>> table = read_predictions(file)
        >>> table.names, table.ending
        (('a.png', 'b.png'), 'softmax')
    """
    names, values, classes = (_read_npz if path.suffix.lower() == ".npz" else _read_parquet)(path)
    where = str(path)
    if values.ndim != 2 or len(values) != len(names) or values.shape[1] < 2 or not len(names):
        raise RequestError(
            f"holds predictions {list(values.shape)} for {len(names)} files",
            where=where,
            allowed=ALLOWED_TABLES,
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise RequestError(
            f"holds predictions that are not finite for {int(bad.sum())} files, such as "
            f"{names[int(bad.argmax())]!r}",
            where=where,
            allowed="finite numbers",
        )
    if classes and len(classes) != values.shape[1]:
        raise RequestError(
            f"names {len(classes)} classes for {values.shape[1]} numbers", where=where, allowed=ALLOWED_TABLES
        )
    sums = float(np.median(values.sum(axis=1)))
    if abs(sums - 100) < 100 * ROUNDING and sums_to_one(torch.from_numpy(values / 100), ROUNDING):
        values = values / 100
    ending = ""
    if sums_to_one(torch.from_numpy(values), ROUNDING):
        ending, values = "softmax", np.log(np.maximum(values, SMALLEST_STORED))
    elif ((values >= 0) & (values <= 1)).all():
        ending, values = "sigmoid", logit(values.clip(SMALLEST_STORED, 1 - SMALLEST_STORED))
    return PredictionTable(path, names, values.astype(np.float32), classes, ending)


ReadColumns = tuple[tuple[str, ...], npt.NDArray[np.float64], tuple[str, ...]]


def _read_npz(path: Path) -> ReadColumns:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive fails in as many ways as it can be damaged
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"cannot be read ({reason})", where=str(path), allowed=ALLOWED_TABLES) from error
    texts = {name: array for name, array in arrays.items() if array.dtype.kind in "US" and array.ndim == 1}
    tables = [name for name, array in arrays.items() if array.dtype.kind in "fiu" and array.ndim == 2]
    files = _chosen([name for name in texts if name not in CLASS_COLUMNS], NAME_COLUMNS)
    values = _chosen(tables, VALUE_COLUMNS)
    if files is None or values is None:
        held = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items())
        raise RequestError(f"holds {held or 'nothing'}", where=str(path), allowed=ALLOWED_TABLES)
    stated = next((texts[name] for name in CLASS_COLUMNS if name in texts), np.empty(0, str))
    return _texts(texts[files]), arrays[values].astype(np.float64), _texts(stated)


def _read_parquet(path: Path) -> ReadColumns:
    import pyarrow as pa
    from pyarrow import types

    try:
        table = read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RequestError(f"cannot be read ({reason})", where=str(path), allowed=ALLOWED_TABLES) from error
    kinds = {field.name: field.type for field in table.schema}
    strings = [n for n, k in kinds.items() if types.is_string(k) or types.is_large_string(k)]
    lists = [n for n, k in kinds.items() if types.is_nested(k) and not types.is_struct(k)]
    numbers = [
        n
        for n, k in kinds.items()
        if (types.is_floating(k) or types.is_integer(k)) and n.lower() not in NO_CLASSES
    ]
    files = _chosen(strings, NAME_COLUMNS)
    values = _chosen(lists, VALUE_COLUMNS)
    if files is None or (values is None and len(numbers) < 2):
        held = ", ".join(f"{name} ({kind})" for name, kind in list(kinds.items())[:6])
        raise RequestError(f"holds the columns {held or 'nothing'}", where=str(path), allowed=ALLOWED_TABLES)
    names = tuple(str(name) for name in table.column(files).to_pylist())
    if values is None:
        columns = [table.column(name).to_numpy().astype(np.float64) for name in numbers]
        return names, np.stack(columns, axis=1), tuple(numbers)
    rows = table.column(values).to_pylist()
    if len({len(row) if row is not None else 0 for row in rows}) > 1:
        raise RequestError(f"the lists in {values} differ in length", where=str(path), allowed=ALLOWED_TABLES)
    return names, np.array(rows, np.float64), ()


def _chosen(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the usual name among some, or the only one."""
    found = {name.lower(): name for name in names}
    return next((found[name] for name in usual if name in found), names[0] if len(names) == 1 else None)


def _texts(array: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in array.tolist())


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the name of a file, whatever separates them."""
    return PurePosixPath(name.replace("\\", "/")).parts or ("",)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many folders two paths share, from the last one on."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
