"""Files of stored predictions: those of a linear network for the images of the digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.special import softmax

from distillab.sources.ingest import names_in
from support.given_teachers import LINEAR, digits, spec_of
from support.networks import recognizing

Values = npt.NDArray[np.float64]


@cache
def answers() -> tuple[tuple[str, ...], Values]:
    """Return the names of all images of the study, and the logits of a network that recognizes them."""
    data, network = digits(), recognizing(LINEAR, digits())
    _, names = names_in(spec_of(Path()).source())
    mean, std = (torch.from_numpy(each)[:, None, None] for each in data.normalization())
    found, values = [], []
    for each in (data.train, data.val, *data.eval.values()):
        x = torch.from_numpy(each.items(np.arange(len(each)))).float() / 255
        with torch.no_grad():
            values.append(network((x - mean) / std).numpy().astype(np.float64))
        found += [names[row] for row in each.ids.tolist()]
    return tuple(found), np.concatenate(values)


def write_answers(
    path: Path, form: str = "probabilities", *, leave_out: int = 0, order: tuple[int, ...] = ()
) -> Path:
    """Write the predictions as a table or an archive.

    Args:
        path: A Parquet or .npz file.
        form: ``logits``, ``probabilities``, ``percent``, ``sigmoid``, or ``list`` for a column of lists.
        leave_out: How many files are left out.
        order: Another order of the classes, whose names are then those of the digits in this order.
    """
    names, logits = answers()
    names, logits = names[leave_out:], logits[leave_out:]
    values = {
        "logits": logits,
        "list": logits,
        "probabilities": softmax(logits, axis=1).round(4),
        "percent": 100 * softmax(logits, axis=1),
        "sigmoid": 1 / (1 + np.exp(-logits)),
    }[form]
    places = list(order or range(logits.shape[1]))
    classes, values = [digits().classes[place] for place in places], values[:, places]
    if path.suffix == ".npz":
        np.savez(path, files=np.array(names), classes=np.array(classes), predictions=values)
    elif form == "list":
        pq.write_table(pa.table({"image": list(names), "logits": list(values)}), path)
    else:
        columns = dict(zip(classes, values.T, strict=True))
        pq.write_table(pa.table({"file": list(names), **columns, "label": [0] * len(names)}), path)
    return path
