"""One student, distilled: the network, and whether distillation made it better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from distillab.api.studies import Finished, Study
from distillab.artefacts import WEIGHTS, RunRecord, load_state, write_atomically
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.modalities.image.normalization import PixelNormalization
from distillab.models import InputSpec, build_model
from distillab.models.black_box import black_box_of
from distillab.models.dry_run import logits_of
from distillab.models.input_transforms import set_interpolation
from distillab.notebook import html_table
from distillab.sources.python_images import array_images
from distillab.study.running import OnProgress
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.seeds import LEAST_PAIRS

if TYPE_CHECKING:
    from distillab.deploy import Exported
    from distillab.evidence import Row

_BATCH = 256  # images per forward pass
_OF_STUDIES = ("factors", "methods", "students")  # keys of a study that `distill` does not take


@dataclass(frozen=True, eq=False)
class Distilled:
    """A distilled student, and the measurements that it rests on.

    Attributes:
        student: The network, in evaluation mode on the CPU, with the weights of one of the seeds: that of the
            best score on val. It takes images in [0, 1], normalized with ``mean`` and ``std``; for images as
            they are, use :meth:`logits` or :meth:`predict`.
        seed: The seed of that run.
        method: The method.
        classes: Names of the classes in the order of the logits.
        shape: Shape of one image, (C, H, W).
        mean: Mean per channel that inputs are normalized with, of pixels in [0, 1].
        std: Standard deviation per channel.
        metric: The metric of the scores below: ``accuracy``, unless the task has another one.
        score: Mean score of the distilled students on test, over all seeds.
        plain_score: The same of the plain students.
        teacher_score: Score of the teacher on test; NaN if it has other classes.
        gain: Mean paired difference of the scores.
        interval: Confidence interval of the gain; None for fewer than 5 pairs, or if it is unbounded.
        verdict: ``helps``, ``harms``, ``equivalent`` or ``undecided``.
        n_pairs: Number of pairs of a distilled and a plain student.
        finished: The study, with its folder, tables and report.
        run_id: The run of the student.

    Example:
        >>> Distilled.__dataclass_fields__["student"].type
        'nn.Module'
    """

    student: nn.Module
    seed: int
    method: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metric: str
    score: float
    plain_score: float
    teacher_score: float
    gain: float
    interval: tuple[float, float] | None
    verdict: str
    n_pairs: int
    finished: Finished
    run_id: str = ""
    _temporary: TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the distilled students on test; RequestError if the metric is another one."""
        return self._accuracy(self.score)

    @property
    def plain_accuracy(self) -> float:
        """Mean accuracy of the plain students on test; RequestError if the metric is another one."""
        return self._accuracy(self.plain_score)

    def _accuracy(self, score: float) -> float:
        if self.metric != "accuracy":
            raise RequestError(f"the metric is {self.metric}, not accuracy", allowed="`score`, `plain_score`")
        return score

    @torch.inference_mode()
    def logits(self, images: Any) -> npt.NDArray[np.float32]:
        """Return the logits of the student, float32 ``[N, classes]``.

        Args:
            images: An array or tensor ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``, uint8 or floats in
                [0, 1], of the size that the student was trained on.

        Raises:
            RequestError: The images have another form or size.
        """
        items, _ = array_images(images, "images")
        pixels = np.stack([np.asarray(item) for item in items])
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        if pixels.shape[1:] != self.shape:
            raise RequestError(
                f"images have shape {list(pixels.shape[1:])}", where="images", allowed=f"{list(self.shape)}"
            )
        normalize = PixelNormalization(np.array(self.mean, np.float32), np.array(self.std, np.float32))
        parts = [
            logits_of(
                self.student(normalize(torch.from_numpy(pixels[start : start + _BATCH].copy())))
            ).numpy()
            for start in range(0, len(pixels), _BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    def predict(self, images: Any) -> list[str]:
        """Return the class of each image, the one with the highest logit. The arguments are as above."""
        return [self.classes[label] for label in self.logits(images).argmax(axis=1)]

    def save(self, path: str | Path) -> Path:
        """Write the weights of the student as safetensors, and return the file.

        Its metadata state the names of the classes (``classes``) and the normalization (``normalization``).

        Args:
            path: The file; a folder gets one called ``student.safetensors``.

        Raises:
            RequestError: It cannot be written.
        """
        path = Path(path)
        path = path / "student.safetensors" if path.is_dir() else path
        normalization = {"mean": self.mean, "std": self.std}
        metadata = {
            "classes": json.dumps(self.classes),
            "normalization": json.dumps(normalization),
            "format": "pt",
        }
        state = {
            name: value.detach().clone().contiguous() for name, value in self.student.state_dict().items()
        }
        try:
            with write_atomically(path) as draft:
                save_file(state, draft, metadata)
        except (OSError, SafetensorError) as error:
            raise RequestError(
                f"cannot be written ({error})",
                where=str(path),
                allowed="a file in an existing folder",
            ) from error
        return path

    def export(self, out: str | Path, *, max_drop: float = 1.0) -> Exported:
        """Write the student as an exported model: weights, ONNX with its preprocessing inside, int8, card.

        Args:
            out: The folder.
            max_drop: Points of the metric that int8 may lose on val.

        Raises:
            RequestError: The folder holds something else or cannot be written, or the network cannot be
                exported.
        """
        from distillab.deploy import export_run

        return export_run(self.finished.folder, self.run_id, Path(out), max_drop=max_drop)

    def __str__(self) -> str:
        interval = (
            f" ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})" if self.interval else ""
        )
        return (
            f"{self.method}: {self.metric} {100 * self.score:.1f} %, plain {100 * self.plain_score:.1f} %, "
            f"gain {100 * self.gain:+.1f} points{interval} from {self.n_pairs} pairs: {self.verdict}"
        )

    def _repr_html_(self) -> str:
        interval = (
            "" if self.interval is None else " ({:+.1f} to {:+.1f})".format(*(100 * x for x in self.interval))
        )
        rows = [
            (f"{self.metric}, distilled", f"{100 * self.score:.1f} %"),
            (f"{self.metric}, plain", f"{100 * self.plain_score:.1f} %"),
            (f"{self.metric}, teacher", f"{100 * self.teacher_score:.1f} %"),
            ("gain", f"{100 * self.gain:+.1f} points{interval}, {self.n_pairs} pairs: {self.verdict}"),
            ("report", str(self.finished.report)),
        ]
        return html_table(f"Distilled by {self.method}", rows)


def distill(
    teacher: Any,
    student: Any,
    data: Any,
    method: str | JsonObject = "kd",
    *,
    seeds: int | Sequence[int] = LEAST_PAIRS,
    recipe: JsonObject | None = None,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    executor: str = "processes",
    device: str = "auto",
    on_progress: OnProgress | None = None,
    **keys: Any,
) -> Distilled:
    """Distill a teacher into a student, train plain students beside it, and return the distilled student.

    It is a study of one condition: each seed trains a plain and a distilled student that differ in the loss
    alone. The runs are kept in ``out``, and the same call resumes or reuses them.

    Args:
        teacher: A network with its weights; a model by name, or a function or class that builds one, which
            is trained on the data first; or a mapping of the keys of a teacher.
        student: A network, which starts from its weights; or a model by name, or a function or class that
            builds one, anew for each seed.
        data: As for :class:`~distillab.Study`.
        method: A method, or a mapping of its name to its settings.
        seeds: The number of pairs, or a list of seeds. A verdict needs at least 5.
        recipe: Keys of the recipe of a study.
        normalization: Mean and standard deviation per channel, of pixels in [0, 1], that the teacher's
            inputs were normalized with; by default those of the data. ``([0, 0, 0], [1, 1, 1])`` for a
            network that was trained on images in [0, 1].
        out: The folder of the study; by default a temporary one that exists as long as the result.
        workers: As for :meth:`Study.run <distillab.Study.run>`, like the next three.
        executor: Name of a registered executor.
        device: Where to compute.
        on_progress: Called with the share of the work that is finished.
        keys: Further keys of a study, such as ``task``, but none that vary anything: ``factors`` or
            ``methods``.

    Raises:
        RequestError: The request cannot be fulfilled as written.
        RuntimeError: No pair of students could be trained.

    Example:
        >>> distill("resnet8", "resnet8", "digits", method="kdd")
        Traceback (most recent call last):
        distillab.errors.RequestError: study: methods: unknown method 'kdd', did you mean 'kd'? ...
    """
    entry = _teacher_entry(teacher, normalization)
    pairs = {"seeds": seeds if isinstance(seeds, int) else list(seeds), "recipe": dict(recipe or {})}
    study = _one_condition(
        {"data": data, "teacher": entry, "students": student, "methods": [PLAIN, method], **pairs}, keys
    )
    temporary = TemporaryDirectory(prefix="distillab-") if out is None else None
    finished = study.run(
        temporary.name if temporary else Path(str(out)),
        workers=workers,
        executor=executor,
        device=device,
        on_progress=on_progress,
    )
    return _result(finished, parse_method(method, "method").label, temporary)


def _teacher_entry(
    teacher: Any, normalization: tuple[Sequence[float], Sequence[float]] | None
) -> dict[str, object]:
    """Return the teacher as a study states it; one without weights is trained on the data, once."""
    entry: dict[str, object] = dict(teacher) if isinstance(teacher, Mapping) else {"model": teacher}
    if isinstance(teacher, str | Path) and black_box_of(teacher):
        entry = {"weights": str(teacher)}
    if normalization is not None:
        mean, std = normalization
        entry["normalization"] = {"mean": list(mean), "std": list(std)}
    if not isinstance(entry.get("model"), nn.Module) and "weights" not in entry:
        entry.setdefault("provenance", "full")
        entry.setdefault("replicates", 1)
    return entry


def _one_condition(values: JsonObject, keys: JsonObject) -> Study:
    """Return the study of one condition with some values, and with further keys of a study.

    Raises:
        RequestError: A key is not accepted, or makes several conditions, students or provenances.
    """
    if several := [key for key in _OF_STUDIES if key in keys]:
        raise RequestError(
            f"`{several[0]}` would make several students of it",
            where="distill",
            allowed="distillab.Study, which compares methods and conditions",
        )
    # The student with the best score on val is chosen among the seeds, so all have the same val examples. It
    # is a student of this length: whether a longer one differs is a question for a study.
    defaults = {"study": "distill", "draws": {"split": "shared"}, "evidence": {"probes": 0}}
    study = Study(**{**defaults, **keys, **values})
    if len(study.spec.student_entries) * len(study.spec.teacher.provenance) > 1:
        raise RequestError(
            "there is more than one student or provenance of the teacher",
            where="distill",
            allowed="one of each, or distillab.Study, which compares several",
        )
    return study


def _result(finished: Finished, method: str, temporary: TemporaryDirectory[str] | None) -> Distilled:
    folder = finished.folder
    task, dataset = folder.spec.task_config(), folder.dataset
    done = [row for row in finished.tables.results if row["method"] == method and row["status"] == "done"]
    effects = [
        row for row in finished.tables.effects if (row["method"], row["metric"]) == (method, task.primary)
    ]
    if not done or not effects or not effects[0]["n_pairs"]:
        errors = [failure.error for failure in finished.outcome.failures]
        raise RuntimeError(f"no pair of students was trained: {errors[0] if errors else 'all are excluded'}")
    [effect, *_] = effects
    records = {row["run_id"]: RunRecord.read(folder.store.folder("student", row["run_id"])) for row in done}
    best = max(done, key=lambda row: _val_score(records[row["run_id"]]))
    record = records[best["run_id"]]
    channels, height, width = dataset.train.shape
    inputs = InputSpec(channels, height, width)
    with torch.random.fork_rng(devices=[]):
        network = build_model(record.model, classes=task.head_width(len(dataset.classes)), inputs=inputs)
    load_state(network, folder.store.folder("student", best["run_id"]) / WEIGHTS)
    if record.interpolation:
        set_interpolation(network, record.interpolation)
    mean, std = dataset.normalization()
    statistics = record.normalization or {"mean": mean.tolist(), "std": std.tolist()}
    ends = effect["ci_low"], effect["ci_high"]  # None if the spread of equal gains is not known
    bounded = effect["n_pairs"] >= LEAST_PAIRS and None not in ends
    return Distilled(
        student=network.eval(),
        seed=best["seed"],
        method=method,
        classes=dataset.classes,
        shape=(channels, height, width),
        mean=tuple(float(value) for value in statistics["mean"]),
        std=tuple(float(value) for value in statistics["std"]),
        metric=task.primary,
        score=effect["distilled_mean"],
        plain_score=effect["plain_mean"],
        teacher_score=_number(best, task.of_teacher),
        gain=effect["gain"],
        interval=ends if bounded else None,
        verdict=effect["verdict"],
        n_pairs=effect["n_pairs"],
        finished=finished,
        run_id=best["run_id"],
        _temporary=temporary,
    )


def _val_score(record: RunRecord) -> float:
    return record.curve[-1].val_accuracy if record.curve else 0.0


def _number(row: Row, column: str) -> float:
    value = row.get(column)
    return float("nan") if value is None else float(value)
