"""The account of a study: what its teachers were asked, what was saved, and where the seconds went."""

from __future__ import annotations

from dataclasses import dataclass, field

from distillab.study.folder import StudyFolder
from distillab.training.loop.phases import PHASES


@dataclass(frozen=True)
class TeacherUsage:
    """What the finished jobs of a study did.

    Attributes:
        told: images with their views about which a student was told something by a teacher.
        computed: images that went through a teacher, for that and for the test sets.
        stored_bytes: what is kept of the teachers' outputs.
        phases: seconds of training by phase, teachers and students together.
    """

    told: int = 0
    computed: int = 0
    stored_bytes: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def saved(self) -> int:
        """Teacher forwards that a study would have needed more if every student asked for itself."""
        return max(0, self.told - self.computed)


def teacher_usage(folder: StudyFolder) -> TeacherUsage:
    """Read the account from the records of the finished jobs."""
    told = computed = 0
    phases = dict.fromkeys(PHASES, 0.0)
    for kind in ("teacher", "outputs", "student"):
        for record in folder.store.records(kind):
            told += record.get("teacher_images", 0)
            computed += sum(record.get(key, 0) for key in ("forwards", "eval_forwards", "teacher_forwards"))
            for phase, seconds in record.get("phases", {}).items():
                phases[phase] += seconds
    caches = folder.store.caches
    stored = (
        sum(file.stat().st_size for file in caches.rglob("*") if file.is_file()) if caches.exists() else 0
    )
    return TeacherUsage(
        told, computed, stored, {name: seconds for name, seconds in phases.items() if seconds > 0}
    )
