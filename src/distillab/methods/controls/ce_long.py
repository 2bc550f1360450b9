"""Plain training for as long as distillation costs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import StrictBool

from distillab.methods.controls.ce import PlainTraining
from distillab.methods.method import Method, method


@method("ce_long")
class LongPlainTraining(PlainTraining):
    """Long plain training: plain training with the compute of a student and its teacher together.

    mean_n CE(p_s, y), for S' = S (1 + (A + B) / (3 S N m_s)) steps.

    S are the steps of the recipe, N the examples of a batch, m the multiply-accumulates of a forward pass. A
    training step costs three forward passes, 3 S N m_s over a training; B = S N m_t are the teacher's forward
    passes for it, and A is the training of the teacher, with its assistants. All else is as in ``ce``: the
    learning rate falls over all steps. A gain over this control is no effect of compute.

    With ``teacher_training`` false A is 0: the comparison for a teacher that exists already. It is 0 as well
    for external weights, whose cost is not known. The teacher is that of the study.

    Paper: none; a control.
    """

    matches_compute: ClassVar[bool] = True

    class Config(Method.Config):
        """Hyper-parameters.

        Attributes:
            teacher_training: Whether the training of the teacher counts.
        """

        teacher_training: StrictBool = True
