"""The table ``alignment.parquet``: how alike students and teachers are, over the orbits of test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from distillab.artefacts import RunRecord
from distillab.data.examples import IMAGE, Examples
from distillab.errors import RequestError
from distillab.evidence.alignment import Representation, linear_cka, orbit_cosine, orbit_spread
from distillab.evidence.compared_teachers import ComparedTeachers
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.schema import read_rows, write_table
from distillab.evidence.table_schema import number_columns, run_columns, table_schema, text_columns
from distillab.modalities import normalization_of
from distillab.modalities.views.dihedral import ORDER, dihedral_view, require_square
from distillab.models import InputSpec, TappedModel, inspect_network
from distillab.models.orbit import OrbitMean
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY, Condition
from distillab.study.spec.study import StudySpec
from distillab.training.stages.outputs import open_network

ALIGNED_IMAGES = 200
"""Test images of the table, each under its eight views."""
_SCORES = ("cka", "cosine", "spread", "teacher_spread")
_CPU = torch.device("cpu")


def alignment_schema(factors: Mapping[str, bool], *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``alignment.parquet``, one row per finished student.

    ``cka`` is the linear CKA of the embeddings of student and teacher (of logits, where a network has no
    embedding), ``cosine`` the mean cosine of their logits, over ``n_images`` test images under their eight
    views. ``spread`` and ``teacher_spread`` are the shares of views whose predicted class is not the most
    frequent one of their image. A plain student is compared with the teacher of the distilled ones.

    Args:
        factors: The factors of the study, and whether their levels are names.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> alignment_schema({}).names[-5:]
        ['n_images', 'cka', 'cosine', 'spread', 'teacher_spread']
    """
    return table_schema(
        "alignment",
        run_columns(["run_id", "dataset"], factors, tuned=tuned)
        | text_columns("teacher_run")
        | {"n_images": pa.int64()}
        | number_columns(_SCORES),
    )


def has_orbits(spec: StudySpec) -> bool:
    """Return True if the views of a study are the eight of a square, and its task is about whole images."""
    if spec.task_config().dense:
        return False
    views = spec.recipe.views
    return "dihedral" in ([views] if isinstance(views, str) else [name for step in views for name in step])


def write_alignment(folder: StudyFolder) -> list[Row]:
    """Write ``alignment.parquet`` of a study whose views are the eight of a square, and return its rows.

    What the file holds is not computed again. While jobs are open, nothing is computed.

    Args:
        folder: The study.
    """
    spec = folder.spec
    if not has_orbits(spec):
        return []
    with folder.ledger() as ledger:
        if any(status.state.is_open for status in ledger.states().values()):
            return []
    file = folder.alignment_file
    known = {_key(row): row for row in (read_rows(file) if file.is_file() else [])}
    rows = list(alignment_rows(folder, ALIGNED_IMAGES, known))
    names = {levels[0].name: isinstance(levels[0].level, str) for levels in spec.factor_levels()}
    write_table(rows, alignment_schema(names, tuned=spec.tune is not None), file)
    return rows


def alignment_rows(
    folder: StudyFolder, images: int, known: Mapping[tuple[object, ...], Row] | None = None
) -> Iterator[Row]:
    """Yield a row per finished student that has a teacher to compare it with.

    Args:
        folder: The study.
        images: Test images, evenly spread, each under its eight views.
        known: Rows that were computed before, by student, teacher and number of images.

    Raises:
        RequestError: The images are not square, or no images.
    """
    measured = Measurements(folder)
    networks, teachers = _Networks(folder, measured, images), ComparedTeachers(measured.cells)
    for cell in measured.cells:
        teacher = teachers.of(cell)
        if cell.run is None or teacher is None or not _are_done(measured, cell.run, teacher):
            continue
        place = _place_of(cell, folder) | {"teacher_run": teacher, "n_images": networks.count(cell)}
        found = (known or {}).get(_key(place))
        yield place | (networks.compare(cell, teacher) if found is None else {n: found[n] for n in _SCORES})


@dataclass(frozen=True, eq=False)
class _Represented:
    """A network: its embeddings and its logits for all views of some images."""

    embeddings: Representation
    logits: Representation


class _Networks:
    """The networks of a study, for the views of its test images."""

    def __init__(self, folder: StudyFolder, measured: Measurements, images: int) -> None:
        self._folder, self._images = folder, images
        with folder.ledger() as ledger:
            conditions = ledger.conditions()
        self._conditions = {_condition_key(each.levels, each.seed): each.condition for each in conditions}
        self._normalize = normalization_of(folder.dataset)
        self._tests = dict[str, Examples]()  # by what networks get
        self._digest = cache(self._digest_of)
        self._represented = cache(self._represent)

    def count(self, cell: Cell) -> int:
        """Return the number of images that networks of a cell are compared on."""
        return len(self._tests[self._digest(_condition_key(cell.levels, cell.seed))])

    def compare(self, cell: Cell, teacher: str) -> Row:
        """Return the scores of the student of a cell with a teacher."""
        digest = self._digest(_condition_key(cell.levels, cell.seed))
        own = self._represented("student", cell.run_id, digest)
        other = self._represented("teacher", teacher, digest)
        comparable = own.logits.shape == other.logits.shape  # a teacher may have classes of its own
        return {
            "cka": linear_cka(own.embeddings, other.embeddings),
            "cosine": orbit_cosine(own.logits, other.logits) if comparable else float("nan"),
            "spread": orbit_spread(own.logits),
            "teacher_spread": orbit_spread(other.logits),
        }

    def _digest_of(self, key: str) -> str:
        """Return the digest of the images of a condition, which are kept under it."""
        test = self._folder.roles(Condition.read(self._conditions[key])).eval[PRIMARY]
        where = str(self._folder.path)
        if test.modality != IMAGE:
            raise RequestError(f"only images have orbits, and these are {test.modality}", where=where)
        require_square(*test.shape[1:], where)
        chosen = np.linspace(0, len(test) - 1, min(self._images, len(test))).astype(np.int64)
        digest = f"{test.input_digest}/{test.student_transform}"
        self._tests.setdefault(digest, test.select(chosen))
        return digest

    def _represent(self, kind: str, run: str, digest: str) -> _Represented:
        test, place = self._tests[digest], self._folder.store.folder(kind, run)
        if kind == "teacher":
            test = replace(test, student_transform=None)
        items = self._normalize(torch.from_numpy(test.items(np.arange(len(test)))))
        if test.student_transform:
            items = test.student_transform(items)
        views = torch.stack([dihedral_view(items, n).contiguous() for n in range(ORDER)], dim=1)
        model = RunRecord.read(place).model
        return _Represented(*embeddings_of(open_network(place, test, _CPU), model, views))


def embeddings_of(network: nn.Module, name: str, views: Tensor) -> tuple[Representation, Representation]:
    """Return the embeddings ``[N * 8, D]`` of a network (or logits) and the logits ``[N, 8, C]``."""
    info = inspect_network(network, InputSpec(*views.shape[2:]), name=name)
    needs = {"embedding"} if info.taps.classifier else set()
    # The mean over the orbit is the same for all views.
    different = 1 if isinstance(network, OrbitMean) else ORDER
    with TappedModel(network, needs, info.taps) as tapped, torch.inference_mode():
        found = [tapped(views[:, number]) for number in range(different)] * (ORDER // different)
    logits = torch.stack([each.logits for each in found], dim=1).numpy()
    embeddings = [each.logits if each.embedding is None else each.embedding for each in found]
    return torch.cat(embeddings).numpy(), logits


def _place_of(cell: Cell, folder: StudyFolder) -> Row:
    return {
        "run_id": cell.run_id,
        "dataset": folder.dataset.name,
        **{f"{FACTOR}{name}": level for name, level in cell.levels.items()},
        **{name: getattr(cell, name) for name in ("provenance", "teacher", "student", "method", "seed")},
        **({"setting": cell.setting} if cell.setting else {}),
    }


def _key(row: Row) -> tuple[object, ...]:
    return row["run_id"], row["teacher_run"], row["n_images"]


def _condition_key(levels: Mapping[str, float | str], seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"


def _are_done(measured: Measurements, *runs: str) -> bool:
    return all(measured.states[run].state == JobState.DONE for run in runs)
