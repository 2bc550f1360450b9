"""What the explanation maps of a study cost, in forward passes."""

from __future__ import annotations

from collections import Counter

from distillab.data.dataset import Dataset
from distillab.evidence.compared_teachers import ComparedTeachers
from distillab.explain.attribution import attributions
from distillab.explain.study_maps import passes_of_student, passes_of_teacher
from distillab.study.job import StudentJob, TeacherJob
from distillab.study.planning.conditions import PRIMARY
from distillab.study.planning.pace import PlannedMaps
from distillab.study.planning.plan import Plan
from distillab.study.spec.study import StudySpec


def planned_maps(spec: StudySpec, dataset: Dataset, plan: Plan) -> PlannedMaps | None:
    """Return the explanation maps of a study with what they cost; None without the key ``explain``.

    Maps that differ in the condition of their teacher's test images alone are counted once.

    Args:
        spec: The study.
        dataset: Its data.
        plan: Its plan, with the runs that follow tuning.
    """
    if spec.explain is None:
        return None
    names = spec.explain.attributions
    images = min(spec.explain.images, len(dataset.eval[PRIMARY]))
    of_student, of_teacher = (
        images * sum(passes(attributions[name]) for name in names)
        for passes in (passes_of_student, passes_of_teacher)
    )
    teachers = ComparedTeachers(plan.cells)
    pairs = {(cell.run, teacher) for cell in plan.cells if cell.run and (teacher := teachers.of(cell))}
    passes = Counter[str]()
    for run, _ in pairs:
        passes[_model(plan, run)] += of_student
    explained = {teacher for _, teacher in pairs}
    for teacher in explained:
        passes[_model(plan, teacher)] += of_teacher
    return PlannedMaps(len(pairs) + len(explained), images, names, dict(passes))


def _model(plan: Plan, run: str) -> str:
    job = plan.jobs[run]
    assert isinstance(job, StudentJob | TeacherJob)
    return job.model
