"""Plain training in the place of the stages that a student starts from."""

from __future__ import annotations

from typing import ClassVar

from distillab.methods.controls.ce import PlainTraining
from distillab.methods.method import method


@method("ce_throughout")
class PlainThroughout(PlainTraining):
    """Plain training throughout: plain training from before the stages that a student starts from.

    mean_n CE(p_s, y), for S' = S + S_1 + ... + S_k steps.

    S are the steps of the recipe, S_1 to S_k those of the stages of ``start``. The student has the initial
    weights of the first stage, and random ones instead of those of a teacher. All else is as in ``ce``: the
    learning rate falls over all steps. The other methods of such a student are compared with plain training
    from the same start (``ce``), which has what the stages learned from a teacher; compared with this
    control, the gain is that of the stages and the method together.

    Paper: none; a control.
    """

    throughout: ClassVar[bool] = True
