"""What a person should read while students are trained."""

from __future__ import annotations

from collections.abc import Callable

from distillab.study.folder import StudyFolder

OnShippingLine = Callable[[str], None]
"""Called with a sentence that stays on the screen."""


class Milestones:
    """What a person should read while students are trained: the teacher's score, and what val chose."""

    def __init__(self, folder: StudyFolder, on_line: OnShippingLine) -> None:
        self.folder, self.on_line = folder, on_line
        self._reported: set[str] = set()

    def look(self) -> None:
        """Report each trained teacher once, as soon as it is done."""
        task = self.folder.spec.task_config()
        for run in self.folder.store.names("teacher"):
            if run not in self._reported:
                self._reported.add(run)
                record = self.folder.store.run_record("teacher", run)
                if record.curve:
                    score = 100 * record.curve[-1].val_accuracy
                    self.on_line(f"teacher {record.model}: {task.primary} {score:.1f} % on val")

    def chosen(self) -> None:
        """Report what tuning chose, once."""
        record = self.folder.tuning
        for key, choice in (record.chosen if record else {}).items():
            place = ", ".join(key[2:])
            if place not in self._reported:
                self._reported.add(place)
                score = "diverged" if choice.score is None else f"{100 * choice.score:.1f} % on val"
                self.on_line(f"tuned {place}: {score} with {choice.setting.text}")
