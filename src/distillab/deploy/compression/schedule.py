"""The schedule of a pruning: the stages at which weights are removed, each followed by fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from distillab.deploy.compression.layers import require_sparsity
from distillab.errors import RequestError

STAGE_KEEPS = 0.5  # of the weights, at least, in a stage of the usual schedule


def pruning_stages(prune: str | float | Sequence[float]) -> tuple[float, ...]:
    """Return the sparsities after each stage of pruning, in rising order.

    One sparsity is reached in stages that each keep the same share of the weights that are left, at least
    half of them. Several are the stages themselves.

    Args:
        prune: A sparsity, several, or the text of ``--prune``: ``0.5``, ``0.3,0.5,0.7``. 0 prunes nothing.

    Raises:
        RequestError: One is no number in [0, 1), or they do not rise.

    Example:
        >>> pruning_stages("0.3,0.6"), pruning_stages("0")
        ((0.3, 0.6), ())
        >>> [round(each, 3) for each in pruning_stages(0.75)]
        [0.5, 0.75]
    """
    if isinstance(prune, str):
        values = [_number(text) for text in prune.split(",")]
    else:
        values = [float(each) for each in (prune if isinstance(prune, Sequence) else [prune])]
    for value in values:
        require_sparsity(value)
    if len(values) > 1:
        if any(b <= a for a, b in pairwise(values)) or values[0] == 0:
            raise RequestError(
                f"{', '.join(f'{each:g}' for each in values)} are not the stages of a schedule",
                where="--prune",
                allowed="rising shares of the weights, such as 0.3,0.5,0.7",
            )
        return tuple(values)
    [last] = values
    if last == 0:
        return ()
    stages = 1
    while (1 - last) ** (1 / stages) < STAGE_KEEPS - 1e-9:
        stages += 1
    return (*(1 - (1 - last) ** (stage / stages) for stage in range(1, stages)), last)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            f"{text.strip()!r} is not a share of the weights",
            where="--prune",
            allowed="0 or more, less than 1, such as 0.5; or stages such as 0.3,0.5",
        ) from None
