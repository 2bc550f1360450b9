"""LIME on a grid: a linear model of which cells of the input raise the score of a class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distillab.explain.attribution import attribution
from distillab.explain.networks import BASELINE, ExplainedNetwork
from distillab.extras import import_extra

_CELLS = 8  # rows and columns of the grid
_SAMPLES = 500
_SEED = 0
_AT_ONCE = 50  # samples per forward pass
_PENALTY = 1.0


@attribution(
    "lime",
    reads="outputs",
    source="Ribeiro et al., Why should I trust you?, KDD 2016",
    passes=_SAMPLES,
    package="captum.attr",
)
def lime(network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Tensor:
    """Return the coefficient of each cell of a grid in a ridge regression of the score of the class.

    The grid has 8 x 8 cells (fewer for smaller inputs). Each of 500 samples keeps every cell with probability
    1/2 and sets the others to the baseline, the mean of the training images. Samples are weighted by their
    cosine similarity to the input, as in captum, and drawn with one fixed seed for every input and network.

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.

    Returns:
        Signed maps, float32 ``[N, H, W]``, constant within a cell.
    """
    captum = import_extra("captum.attr", "explain", "lime")
    linear = import_extra("captum._utils.models.linear_model", "explain", "lime")
    explainer = captum.Lime(network.scores, interpretable_model=linear.SkLearnRidge(alpha=_PENALTY))
    cells = grid_cells(x.shape[2], x.shape[3])[None, None].expand(1, x.shape[1], -1, -1)
    maps = []
    for row, label in enumerate(classes.tolist()):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(_SEED)
            found = explainer.attribute(
                x[row : row + 1],
                target=label,
                baselines=BASELINE,
                feature_mask=cells,
                n_samples=_SAMPLES,
                perturbations_per_eval=_AT_ONCE,
            )
        maps.append(found[:, 0].float())
    return torch.cat(maps)


def grid_cells(height: int, width: int) -> Tensor:
    """Return the number of the cell that each pixel belongs to, int64 ``[H, W]``.

    Example:
        >>> grid_cells(2, 4).tolist()
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    """
    rows = np.arange(height) * min(_CELLS, height) // height
    columns = np.arange(width) * min(_CELLS, width) // width
    return torch.from_numpy(rows[:, None] * (int(columns[-1]) + 1) + columns[None, :])
