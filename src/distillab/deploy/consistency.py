"""Checks of an export against its study: stored outputs, and the decoding of the files it was trained on."""

from __future__ import annotations

import numpy as np

from distillab.artefacts import LOGITS, load_logits
from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE
from distillab.deploy.description import ModelDescription
from distillab.deploy.detector_gates import differing_detections
from distillab.deploy.gates import disagreement, examples_as_items
from distillab.deploy.judged import judged_outputs
from distillab.deploy.loaded import BATCH, TorchEngine
from distillab.deploy.preprocessing import preprocess_file, preprocess_image
from distillab.deploy.runs import StudentRun
from distillab.errors import RequestError
from distillab.sources.tabulated import tabulate
from distillab.study.planning.conditions import PRIMARY
from distillab.training.evaluation import mean_of_parts

COMPARED_EXAMPLES = 1000
DECODED_FILES = 16
MOST_STORED_DISAGREEMENT = 0.02
"""Share of predictions in which outputs stored as float16, perhaps computed in bfloat16, may differ; of the
detections of a detector, weighted by confidence."""


def compare_with_stored(run: StudentRun, description: ModelDescription, engine: TorchEngine) -> JsonObject:
    """Return how far a network gives the outputs for the test set that were stored when it was trained.

    Args:
        run: The run.
        description: What its network is.
        engine: Its network, built anew.

    Raises:
        RuntimeError: It gives others: its weights or its preprocessing are not those of the training.
    """
    task, test = description.task_config(), run.roles.eval[PRIMARY]
    some = test.select(np.arange(min(COMPARED_EXAMPLES, len(test))))
    stored = load_logits(run.store / LOGITS)[f"{PRIMARY}.last"][: len(some)]
    stored = run.folder.spec.task_config().logits_in(stored).astype(np.float32)
    outputs, logits = engine.run(examples_as_items(some, description), BATCH)
    if task.dense:
        logits = judged_outputs(outputs, description)
    assert logits is not None
    if some.parts is not None:
        logits = mean_of_parts(logits.astype(np.float16), some.each_part()[1]).astype(np.float32)
    differing = differing_detections(logits, stored) if task.dense else disagreement(logits, stored, task)
    if differing > MOST_STORED_DISAGREEMENT:
        raise RuntimeError(
            f"run {run.job.id}: its network gives other predictions than were stored for {differing:.1%} of "
            f"{len(some)} test examples"
        )
    precision = str(run.job.recipe.get("precision", ""))
    return {"examples": len(some), "differing": differing, "precision": precision}


def compare_decoding(run: StudentRun, description: ModelDescription) -> JsonObject:
    """Return how many validation files, decoded anew, give the stored pixels that the student was trained on.

    Args:
        run: The run.
        description: What the model is.
    """
    source, val = run.folder.spec.source(), run.folder.dataset.val
    try:
        items = tabulate(source.read().without(source.unused_splits)).items
    except RequestError as error:
        return {"files": 0, "differing": 0, "reason": f"the data cannot be read any more: {error.what}"}
    count = min(DECODED_FILES, len(val))
    differing = 0
    for position in range(count):
        stored = val.items(np.array([position]))[0]
        try:
            item = items[int(val.ids[position])]
            if description.modality == IMAGE:
                made = preprocess_image(item, description, "val").transpose(2, 0, 1)
            else:
                made = preprocess_file(item, description).astype(np.float16)
            differing += int(not np.array_equal(made, stored))
        except (RequestError, IndexError, TypeError, AttributeError) as error:
            return {"files": position, "differing": differing, "reason": f"no single files: {error}"}
    return {"files": count, "differing": differing}
