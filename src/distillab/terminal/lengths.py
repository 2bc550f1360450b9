"""What the command line prints about the length of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillab.printable import counted

if TYPE_CHECKING:  # `status` prints without torch, which takes seconds to import
    from distillab.api import Finished
    from distillab.canonical import JsonObject
    from distillab.study.planning.summary import PlanSummary


def length_of(seen: PlanSummary, size: int, recipe: JsonObject) -> str:
    """Return the lengths of the plain students on sets of a size: ``80 steps (16 epochs)``.

    Args:
        seen: The plan in numbers.
        size: Number of labelled training examples.
        recipe: The recipe, for plans that do not know lengths.
    """
    lengths = sorted({(each.steps, each.epochs) for each in seen.lengths if each.n_train == size})
    if not lengths:
        return f"{recipe['steps']} steps"
    if len(lengths) == 1:
        [(steps, epochs)] = lengths
        return f"{counted(steps, 'step')} ({counted(epochs, 'epoch')})"
    steps_text = " or ".join(f"{steps:,}" for steps, _ in lengths)
    return f"{steps_text} steps ({' or '.join(f'{epochs:,}' for _, epochs in lengths)} epochs)"


def confounded_in_plan(seen: PlanSummary) -> list[str]:
    """Return the factors with whose levels the epochs vary, at a fixed number of steps."""
    from distillab.evidence.lengths import confounded_with_epochs
    from distillab.evidence.pairs import FACTOR

    rows = [
        {f"{FACTOR}{name}": level for name, level in each.levels.items()}
        | {"n_train": each.n_train, "steps": each.steps, "epochs": each.epochs}
        for each in seen.lengths
    ]
    return confounded_with_epochs(rows)


def lengths_of_results(finished: Finished) -> list[str]:
    """Return whether training is long enough, as far as that is known, and what epochs vary with."""
    from distillab.evidence.lengths import confounded_with_epochs

    known = finished.answer.early_training or finished.answer.long_enough
    return [*filter(None, [known]), *confounded_with_epochs(finished.tables.headline.results)]
