"""From a finished study to what the page of its student shows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from distillab.artefacts import LOGITS, load_logits
from distillab.data.examples import IMAGE, Examples
from distillab.data.targets import Labels
from distillab.evidence.pairs import Row
from distillab.models import InputSpec, build_model
from distillab.models.dry_run import logits_of
from distillab.profile.measure import Gallery, Picture
from distillab.report.contents.student import Confusion, ReliabilityCurve, StudentView, Tried
from distillab.shipping.answer import ShippingAnswer
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.planning.conditions import PRIMARY
from distillab.study.spec.evidence import PLAIN
from distillab.training.teachers.class_mapping import to_student_classes

PICTURES = 12  # photographs of a gallery
CONFUSIONS = 10
BINS = 10  # of confidence
TIMED = 15  # forward passes whose median is the latency

_Probabilities = npt.NDArray[np.float64]


def student_view(folder: StudyFolder, results: list[Row], answer: ShippingAnswer) -> StudentView | None:
    """Return what the page shows of a student; None before a pair of one seed has finished.

    Args:
        folder: The study.
        results: Its rows of results.
        answer: What it found.
    """
    if answer.run is None:
        return None
    mine = [row for row in results if row["student"] == answer.run.student and row["status"] == "done"]
    pair = {
        row["method"]: row
        for row in mine
        if row["seed"] == answer.run.seed and row["method"] in (PLAIN, answer.method)
    }
    found = _Outputs(folder, pair, answer)
    if not found.is_labelled:
        return StudentView((), (), (), _tried(folder, mine, answer), answer.run.seed)
    return StudentView(
        galleries=found.galleries(),
        confusions=found.confusions(),
        reliability=found.reliability(),
        tried=_tried(folder, mine, answer),
        seed=answer.run.seed,
    )


class _Outputs:
    """The probabilities of a pair of students and of their teacher for the test examples."""

    def __init__(self, folder: StudyFolder, rows: Mapping[str, Row], answer: ShippingAnswer) -> None:
        self.folder, self.rows, self.answer = folder, rows, answer

    @cached_property
    def test(self) -> Examples:
        return self.folder.conditions.read(self._seed).eval[PRIMARY]

    @property
    def is_labelled(self) -> bool:
        return isinstance(self.test.targets, Labels)

    @cached_property
    def probabilities(self) -> dict[str, _Probabilities]:
        """By ``plain``, ``distilled`` and ``teacher``, as far as they are known."""
        names = {PLAIN: "plain", self.answer.method: "distilled"}
        found = {names[method]: self._of("student", str(row["run_id"])) for method, row in self.rows.items()}
        teacher = self._teacher()
        return found if teacher is None else {**found, "teacher": teacher}

    def galleries(self) -> tuple[Gallery, ...]:
        """Return photographs on which teacher and student differ, those of the most confident error first."""
        known = self.probabilities
        shipped = "plain" if self.answer.run is None or self.answer.run.is_plain else "distilled"
        if self.test.modality != IMAGE or "teacher" not in known or shipped not in known:
            return ()
        labels = np.asarray(self.test.labels)
        right = {name: each.argmax(axis=1) == labels for name, each in known.items()}
        return (
            self._gallery(
                "The student is wrong, the teacher right", ~right[shipped] & right["teacher"], shipped
            ),
            self._gallery(
                "The student is right, the teacher wrong", right[shipped] & ~right["teacher"], "teacher"
            ),
        )

    def _gallery(self, title: str, chosen: npt.NDArray[np.bool_], wrong: str) -> Gallery:
        """Return the examples that a network is most confidently wrong about."""
        guesses = self.probabilities[wrong]
        places = np.flatnonzero(chosen)
        order = places[np.argsort(-guesses[places].max(axis=1), kind="stable")][:PICTURES]
        classes = self.test.classes
        pictures = tuple(
            Picture(
                self.test.pixels(np.array([place]))[0],
                f"test example {int(self.test.ids[place])}",
                f"{classes[int(self.test.labels[place])]}, not {classes[int(guesses[place].argmax())]}",
            )
            for place in order
        )
        note = f"{len(places):,} of {len(self.test):,} test images; the most confident errors first."
        return Gallery(title, note, (("", pictures),))

    def confusions(self) -> tuple[Confusion, ...]:
        """Return the pairs of classes whose confusion changed most between the two students."""
        known, names = self.probabilities, self.test.classes
        if not {"plain", "distilled"} <= known.keys():
            return ()
        counts = {name: self._counts(known[name]) for name in ("plain", "distilled")}
        change = counts["distilled"] - counts["plain"]
        np.fill_diagonal(change, 0)
        order = np.argsort(-np.abs(change), axis=None, kind="stable")[:CONFUSIONS]
        places = [divmod(int(place), len(names)) for place in order]
        return tuple(
            Confusion(names[label], names[other], *(int(counts[n][label, other]) for n in counts))
            for label, other in places
            if change[label, other]
        )

    def _counts(self, probabilities: _Probabilities) -> npt.NDArray[np.int64]:
        found = np.zeros((len(self.test.classes),) * 2, np.int64)
        np.add.at(found, (np.asarray(self.test.labels), probabilities.argmax(axis=1)), 1)
        return found

    def reliability(self) -> tuple[ReliabilityCurve, ...]:
        """Return the curve of each network."""
        labels = np.asarray(self.test.labels)
        return tuple(_curve(name, each, labels) for name, each in self.probabilities.items())

    def _of(self, kind: str, run: str) -> _Probabilities:
        logits = load_logits(self.folder.store.folder(kind, run) / LOGITS)[f"{PRIMARY}.last"]
        return _probabilities(self.folder.spec.task_config().logits_in(logits))

    def _teacher(self) -> _Probabilities | None:
        run = next((str(row["teacher_run"]) for row in self.rows.values() if row.get("teacher_run")), None)
        if run is None or not self.folder.store.has("teacher", run):
            return None
        job = self.folder.job(run)
        mapping = None
        if isinstance(job, TeacherJob) and isinstance(job.origin, WeightsOrigin):
            mapping = job.origin.class_map
        logits = load_logits(self.folder.store.folder("teacher", run) / LOGITS)[f"{PRIMARY}.last"]
        logits = self.folder.spec.task_config().logits_in(logits)
        return _probabilities(to_student_classes(logits, mapping))

    @property
    def _seed(self) -> int:
        return self.answer.run.seed if self.answer.run else 0


def _probabilities(logits: npt.NDArray[np.floating]) -> _Probabilities:
    found: _Probabilities = softmax(logits.astype(np.float64), axis=1)
    return found


def _curve(name: str, probabilities: _Probabilities, labels: npt.NDArray[np.int64]) -> ReliabilityCurve:
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    used = [place for place in range(BINS) if (bins == place).any()]
    return ReliabilityCurve(
        name,
        tuple(float(confidence[bins == place].mean()) for place in used),
        tuple(float(right[bins == place].mean()) for place in used),
        tuple(int((bins == place).sum()) for place in used),
    )


def _tried(folder: StudyFolder, rows: list[Row], answer: ShippingAnswer) -> tuple[Tried, ...]:
    """Return the costs and mean scores of the plain and the distilled students and of their teacher."""
    assert answer.run is not None
    model = str(next(iter(rows))["student"])
    network = folder.spec.student_entries[0].model
    latency, params = _latency(folder, network)
    found = []
    for method, score in ((PLAIN, answer.plain_score), (answer.method, answer.distilled_score)):
        if math.isfinite(score):
            name = f"{model}, {'plain' if method == PLAIN else method}"
            found.append(Tried(name, latency, score, params, shipped=method == answer.run.method))
    teacher = folder.spec.teacher.last_model
    if teacher and math.isfinite(answer.teacher_score) and not folder.spec.teacher.files:
        milliseconds, number = _latency(folder, teacher)
        found.append(Tried(f"{teacher}, teacher", milliseconds, answer.teacher_score, number))
    return tuple(found)


def _latency(folder: StudyFolder, model: str) -> tuple[float, int]:
    """Return the median milliseconds of one example on this machine's CPU in torch, and the parameters."""
    inputs = InputSpec(*folder.dataset.train.shape)
    width = folder.spec.task_config().head_width(len(folder.dataset.classes))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        network = build_model(model, classes=width, inputs=inputs).eval()
        image = torch.rand(1, *inputs.shape)
        times = []
        for _ in range(TIMED + 1):
            started = time.perf_counter()
            logits_of(network(image))
            times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times[1:])), sum(each.numel() for each in network.parameters())
