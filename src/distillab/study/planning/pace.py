"""The pace of this machine: the seconds that jobs, searches of retrieval and forward passes will take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from distillab.data.dataset import Dataset
from distillab.data.raw import Progress
from distillab.models import InputSpec
from distillab.study.job import KINDS, Job, OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.plan import Plan
from distillab.study.planning.workloads import FORWARD_BATCH, Workloads
from distillab.study.spec.study import StudySpec
from distillab.tasks import EmbeddingTask
from distillab.tasks.retrieval import retrieve
from distillab.training.numerics.benchmark import Workload, time_candidates
from distillab.training.numerics.selection import NumericsChoice, default_numerics
from distillab.training.recipe import VALIDATIONS

_CPU = torch.device("cpu")
_QUERIES, _EMBEDDING = 16, 128  # of the timed search


@dataclass(frozen=True)
class PlannedMaps:
    """The explanation maps of a study, which are computed once it is trained.

    Attributes:
        networks: How many students and teachers are explained.
        images: How many images are explained.
        attributions: The attributions.
        passes: Forward passes of single images, by network; a backward pass counts as two.

    Example:
        >>> PlannedMaps(4, 100, ("grad_cam",), {"resnet8": 4e4}).networks
        4
    """

    networks: int
    images: int
    attributions: tuple[str, ...]
    passes: Mapping[str, float]


class Pace:
    """How fast this machine computes what a study consists of.

    Each network is timed for some seconds, unless it has been before.

    Args:
        spec: The study.
        dataset: Its data.
        plan: Its plan, with all of its jobs.
        device: Where it will run.
        progress: Called with (stage, done, total).
    """

    def __init__(
        self,
        spec: StudySpec,
        dataset: Dataset,
        plan: Plan,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self._inputs, self._device, self._threads = (
            InputSpec(*dataset.train.shape),
            device,
            spec.worker_threads,
        )
        self._classes = spec.task_config().head_width(len(dataset.classes))
        self._costs = ModelCosts(self._classes, self._inputs)
        self._work = Workloads.of_jobs(plan.jobs.values())
        self._usual = NumericsChoice(default_numerics(device), "not chosen")
        self._training = self._rates_of_training(plan, progress)
        self._forward = self._rate_of_teacher(spec, plan)
        task = spec.task_config()
        self._search = _Search(task, dataset, plan) if isinstance(task, EmbeddingTask) else None

    def __call__(self, job: Job) -> float:
        """Return the seconds of a job on one worker, its searches included."""
        return self._training_seconds(job) + self.search_seconds(job)

    def search_seconds(self, job: Job) -> float:
        """Return the seconds in which a job evaluates its network by retrieval; 0 in other tasks."""
        if self._search is None or isinstance(job, OutputsJob):
            return 0.0
        macs = self._search.forward_passes(job) * self._costs.macs(job.model)
        return macs / self._rate(job) + self._search.seconds(job)

    def seconds_by_kind(self, jobs: Iterable[Job]) -> dict[str, float]:
        """Return the seconds of jobs by kind, summed over workers."""
        seconds = dict.fromkeys(map(str, KINDS), 0.0)
        for job in jobs:
            seconds[job.kind] += self(job)
        return seconds

    def map_seconds(self, maps: PlannedMaps) -> float:
        """Return the seconds of explanation maps, which are computed on CPUs, summed over workers."""
        return sum(passes * self._forward_seconds(model) for model, passes in maps.passes.items())

    # -- inside ---------------------------------------------------------------------------------------------

    def _training_seconds(self, job: Job) -> float:
        return job.cost / self._rate(job) if job.cost else 0.0

    def _rate(self, job: Job) -> float:
        """Return the multiply-accumulates per second of a job."""
        if isinstance(job, OutputsJob) or not job.cost:
            rate = self._forward
        else:
            rate = self._training.get(job.model, 0.0)
        return rate or max(self._training.values())

    def _workload(self, model: str, trained: bool = True) -> Workload:
        return Workload(model, self._classes, self._inputs, self._work.batch(model), self._threads, trained)

    def _rates_of_training(self, plan: Plan, progress: Progress | None) -> dict[str, float]:
        """Return the multiply-accumulates per second of the networks that are trained, by name."""
        choices = {model: plan.numerics.get(model, self._usual) for model in self._work.images}
        rates = dict[str, float]()
        for place, (model, chosen) in enumerate(choices.items()):
            if progress:
                progress(f"timing {model}", place, len(choices))
            rates[model] = 3 * self._costs.macs(model) * _rate(self._workload(model), chosen, self._device)
        return rates

    def _rate_of_teacher(self, spec: StudySpec, plan: Plan) -> float:
        """Return the multiply-accumulates per second of the teacher's forward passes; 0 if there are none."""
        if not any(method.distils for method in spec.method_specs()):
            return 0.0
        given = plan.trial.model if plan.trial and not spec.teacher.assistants else None
        teacher = given or spec.teacher.last_model
        chosen = plan.numerics.get(teacher, self._usual)
        return self._costs.macs(teacher) * _rate(self._workload(teacher, False), chosen, self._device)

    def _forward_seconds(self, model: str) -> float:
        """Return the seconds of a forward pass of one image on a CPU."""
        if self._device == _CPU and model in self._training:
            return self._costs.macs(model) / self._training[model]
        timed = Workload(model, self._classes, self._inputs, FORWARD_BATCH, self._threads, trained=False)
        return 1 / _rate(timed, NumericsChoice(default_numerics(_CPU), "not chosen"), _CPU)


class _Search:
    """What retrieval searches in the evaluations of a job.

    A network is evaluated on the test sets, a student also at the epoch chosen on val, and on val at every
    point of its curve. Each evaluation embeds the database as well.
    """

    def __init__(self, task: EmbeddingTask, dataset: Dataset, plan: Plan) -> None:
        self._n_train = {cell.run: cell.n_train for cell in plan.cells if cell.run}
        self._most = len(dataset.train)
        self._test, self._val = sum(map(len, dataset.eval.values())), len(dataset.val)
        self._val_database = task.val_database
        self._k = task.k
        self._timed = dict[int, float]()

    def forward_passes(self, job: TeacherJob | StudentJob) -> float:
        """Return how many examples are embedded."""
        return sum(times * (queries + database) for times, queries, database in self._evaluations(job))

    def seconds(self, job: TeacherJob | StudentJob) -> float:
        """Return the seconds in which the database is ranked for every query."""
        return sum(
            times * queries * self._of_query(database) for times, queries, database in self._evaluations(job)
        )

    def _evaluations(self, job: TeacherJob | StudentJob) -> tuple[tuple[int, int, int], ...]:
        """Return evaluations: how many, of how many queries, in how large a database."""
        database = self._n_train.get(job.id, self._most)
        tests = 2 if isinstance(job, StudentJob) else 1
        points = VALIDATIONS if job.cost else 0
        return (tests, self._test, database), (points, self._val, min(database, self._val_database))

    def _of_query(self, database: int) -> float:
        """Return the seconds of one query, from a search of random embeddings."""
        if database not in self._timed:
            generator = torch.Generator().manual_seed(0)
            queries, rows = (
                torch.randn(count, _EMBEDDING, generator=generator) for count in (_QUERIES, database)
            )
            labels = torch.arange(database).numpy() % 2
            began = time.perf_counter()
            retrieve(queries, labels[:1].repeat(_QUERIES), rows, labels, k=min(self._k, database))
            self._timed[database] = (time.perf_counter() - began) / _QUERIES
        return self._timed[database]


def _rate(workload: Workload, chosen: NumericsChoice, device: torch.device) -> float:
    """Return examples per second: of the earlier benchmark, or of a shorter one made now."""
    rate = chosen.rates.get(chosen.numerics) if chosen.trained == workload.trained else None
    if rate is None:
        eager = replace(chosen.numerics, compile=False)  # an estimate is not worth a compilation
        rate = time_candidates(workload, [eager], device)[eager]
    return rate or math.nan
