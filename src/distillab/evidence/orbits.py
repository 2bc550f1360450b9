"""The alignment of students with their teachers, over the orbits of test images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from distillab.artefacts import RunRecord
from distillab.data.examples import IMAGE
from distillab.errors import RequestError
from distillab.evidence.alignment import Representation, linear_cka, orbit_cosine, orbit_spread
from distillab.evidence.pairs import Row
from distillab.evidence.results import Measurements
from distillab.modalities import normalization_of
from distillab.modalities.views.dihedral import ORDER, dihedral_view, require_square
from distillab.models import InputSpec, TappedModel, inspect_network
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY
from distillab.training.stages.outputs import open_network


@dataclass(frozen=True, eq=False)
class _Represented:
    """A network, its embeddings and its logits for all views of some images."""

    model: str
    embeddings: Representation
    logits: Representation


def embeddings_of(network: nn.Module, name: str, views: Tensor) -> tuple[Representation, Representation]:
    """Return the embeddings ``[N * 8, D]`` of a network (or logits) and the logits ``[N, 8, C]``."""
    info = inspect_network(network, InputSpec(*views.shape[2:]), name=name)
    needs = {"embedding"} if info.taps.classifier else set()
    with TappedModel(network, needs, info.taps) as tapped, torch.inference_mode():
        found = [tapped(views[:, number]) for number in range(ORDER)]
    logits = torch.stack([each.logits for each in found], dim=1).numpy()
    embeddings = [each.logits if each.embedding is None else each.embedding for each in found]
    return torch.cat(embeddings).numpy(), logits


def alignment_rows(folder: StudyFolder, images: int) -> Iterator[Row]:
    """Yield a row per finished student that has a teacher: how alike the two are over orbits.

    Args:
        folder: The study.
        images: Test images, evenly spread, each under its eight views.

    Raises:
        RequestError: The images are not square, or no images.
    """
    measured, test = Measurements(folder), folder.dataset.eval[PRIMARY]
    if test.modality != IMAGE:
        raise RequestError(f"only images have orbits, and these are {test.modality}", where=str(folder.path))
    require_square(*test.shape[1:], str(folder.path))
    chosen = np.linspace(0, len(test) - 1, min(images, len(test))).astype(np.int64)
    items = torch.from_numpy(test.items(chosen))
    normalize = normalization_of(folder.dataset)
    views = torch.stack([normalize(dihedral_view(items, n).contiguous()) for n in range(ORDER)], dim=1)
    known: dict[tuple[str, str], _Represented] = {}

    def represented(kind: str, run: str) -> _Represented:
        if (kind, run) not in known:
            place = folder.store.folder(kind, run)
            network, model = open_network(place, test, torch.device("cpu")), RunRecord.read(place).model
            known[kind, run] = _Represented(model, *embeddings_of(network, model, views))
        return known[kind, run]

    for cell in measured.cells:
        if not _is_done(cell, measured):
            continue
        own, other = represented("student", cell.run_id), represented("teacher", str(cell.teacher_run))
        comparable = own.logits.shape == other.logits.shape  # a teacher may have classes of its own
        yield {
            "run_id": cell.run_id,
            "teacher": other.model,
            "student": cell.student,
            "method": cell.method,
            "seed": cell.seed,
            "cka": linear_cka(own.embeddings, other.embeddings),
            "cosine": orbit_cosine(own.logits, other.logits) if comparable else float("nan"),
            "spread": orbit_spread(own.logits),
            "teacher_spread": orbit_spread(other.logits),
        }


def _is_done(cell: Cell, measured: Measurements) -> bool:
    runs = (cell.run, cell.teacher_run)
    return None not in runs and all(measured.states[str(run)].state == JobState.DONE for run in runs)
