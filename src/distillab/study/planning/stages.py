"""StageJobs: makes the jobs of what the students of a pairing start from, one stage after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distillab.study.job import Job
from distillab.study.job_parts import PlannedStart, RunStart
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.student_jobs import PairingJobs
from distillab.study.planning.teacher_jobs import TeacherJobs

Supply = Callable[[PairingJobs, set[str]], None]
Add = Callable[[list[Job]], str | None]


@dataclass
class StageJobs:
    """Makes the jobs of stages. Pairings under other recipes, as those of probes, share them.

    Attributes:
        teachers: Makes the jobs of teachers.
        supply: Adds the jobs of kinds of teachers to the plan.
        add: Adds jobs to the plan.
    """

    teachers: TeacherJobs
    supply: Supply
    add: Add

    def __post_init__(self) -> None:
        self._known: dict[tuple[object, ...], PlannedStart | None] = {}

    def begin(self, pairing: Pairing) -> Pairing:
        """Return a pairing with the start of its students, whose jobs are added to the plan."""
        if not pairing.stages:
            return pairing
        key = pairing.replicate, pairing.provenance, pairing.label
        if key not in self._known:
            self._known[key] = self._made(pairing)
        return pairing.begun(self._known[key])

    def _made(self, pairing: Pairing) -> PlannedStart | None:
        start: PlannedStart | None = pairing.start
        for place, stage in enumerate(pairing.stages):
            if stage.method is None:
                chain = self.teachers.chain(pairing, "study")
                self.add(list(chain))
                start = RunStart("teacher", chain[-1].id, pairing.class_map is not None, stage.keep)
            else:
                jobs = PairingJobs(pairing.at_stage(place, start), self.teachers)
                self.supply(jobs, {stage.method.teacher})
                made = jobs.student_jobs(stage.method)
                self.add(made)
                start = RunStart("student", made[-1].id, keep=stage.keep)
        return start
