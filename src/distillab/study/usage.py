"""How much a study used its teachers, and where the seconds of training went."""

from __future__ import annotations

from dataclasses import dataclass, field

from distillab.study.folder import StudyFolder
from distillab.training.loop.phases import PHASES


@dataclass(frozen=True)
class TeacherUsage:
    """What the finished jobs of a study wanted of teachers, and what that took.

    Attributes:
        queries: Examples, once per step, for which a student used a teacher's outputs.
        forward_passes: Examples that went through a teacher, for that and for the test sets.
        stored_bytes: Size of the cached teacher outputs.
        phases: Seconds of training by phase, teachers and students together.

    Example:
        >>> TeacherUsage(queries=1000, forward_passes=300).saved
        700
    """

    queries: int = 0
    forward_passes: int = 0
    stored_bytes: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def saved(self) -> int:
        """Forward passes that caching and cohorts saved, compared with one per query."""
        return max(0, self.queries - self.forward_passes)


def teacher_usage(folder: StudyFolder) -> TeacherUsage:
    """Return the usage that the records of the finished jobs add up to.

    Example:
        >>> import tempfile, pathlib
        >>> teacher_usage(StudyFolder(pathlib.Path(tempfile.mkdtemp()))).queries
        0
    """
    queries = forward_passes = 0
    seconds = dict.fromkeys(PHASES, 0.0)
    for kind in ("teacher", "student"):
        for record in folder.store.run_records(kind):
            queries += record.teacher_images
            forward_passes += record.teacher_forwards
            for phase in PHASES:
                seconds[phase] += record.phases.get(phase, 0.0)
    for outputs in folder.store.outputs_records():
        forward_passes += outputs.forwards + outputs.eval_forwards
    caches = folder.store.caches
    stored = sum(file.stat().st_size for file in caches.rglob("*") if file.is_file())
    phases = {str(phase): total for phase, total in seconds.items() if total > 0}
    return TeacherUsage(queries, forward_passes, stored, phases)
