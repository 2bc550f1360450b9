"""What a person should read while students are trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from distillab.data.examples import Examples
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder

OnShippingLine = Callable[[str], None]
"""Called with a sentence that stays on the screen."""

FEWEST_JUDGED: Final = 50  # val examples: with fewer, good teachers are often no better than chance by luck


class Milestones:
    """What a person should read while students are trained: the teacher's score, and what val chose."""

    def __init__(self, folder: StudyFolder, on_line: OnShippingLine) -> None:
        self.folder, self.on_line = folder, on_line
        self._reported: set[str] = set()

    def look(self) -> None:
        """Report each trained teacher once, as soon as it is done.

        Raises:
            RequestError: It is at chance.
        """
        task = self.folder.spec.task_config()
        for run in self.folder.store.names("teacher"):
            if run not in self._reported:
                self._reported.add(run)
                record = self.folder.store.run_record("teacher", run)
                if record.curve:
                    score = record.curve[-1].val_accuracy
                    self.on_line(f"teacher {record.model}: {task.primary} {100 * score:.1f} % on val")
                    must_beat_chance(record.model, score, self.folder.dataset.val)
                    if len(self.folder.dataset.val) < FEWEST_JUDGED:
                        n = len(self.folder.dataset.val)
                        self.on_line(f"! {n} val examples are too few to judge teacher and settings by.")

    def chosen(self) -> None:
        """Report what tuning chose, once."""
        record = self.folder.tuning
        for key, choice in (record.chosen if record else {}).items():
            place = ", ".join(key[2:])
            if place not in self._reported:
                self._reported.add(place)
                score = "diverged" if choice.score is None else f"{100 * choice.score:.1f} % on val"
                self.on_line(f"tuned {place}: {score} with {choice.setting.text}")


def must_beat_chance(teacher: str, accuracy: float, val: Examples) -> None:
    """Raise RequestError if a teacher that was trained here is no better than always predicting one class.

    Its accuracy must exceed the share of the largest class by two standard errors. Label sets are not judged,
    nor is a teacher on fewer than 50 examples.

    Args:
        teacher: The teacher by name.
        accuracy: Its accuracy on val.
        val: The examples of val.

    Raises:
        RequestError: It is at chance.

    Example:
        >>> import numpy as np
        >>> val = Examples.of(np.zeros((100, 1, 8, 8), np.uint8), [0, 1] * 50, ("a", "b"))
        >>> must_beat_chance("resnet20", 0.7, val)
        >>> must_beat_chance("resnet20", 0.55, val)
        Traceback (most recent call last):
        distillab.errors.RequestError: --teacher resnet20: accuracy 0.550 on 100 val examples is at chance ...
    """
    if not isinstance(val.targets, Labels) or len(val) < FEWEST_JUDGED:
        return
    chance = float(val.counts.max() / len(val))
    if accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / len(val)):
        return
    raise RequestError(
        f"accuracy {accuracy:.3f} on {len(val)} val examples is at chance ({chance:.3f}), so that no student "
        "can learn from it",
        where=f"--teacher {teacher}",
        allowed="check the labels; or another teacher, a larger --size or a longer --budget with a new --out",
    )
