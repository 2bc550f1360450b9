"""What test examples add to the metrics of a finished study, compared with its results."""

from __future__ import annotations

import pytest

from distillab.evidence.contrast import ExampleValues
from distillab.evidence.measurements import Measurements
from distillab.study.folder import StudyFolder


def metrics_over_examples(folder: StudyFolder) -> set[str]:
    """Return the metrics that have contributions, all of which must average to the metric of their run."""
    measurements = Measurements(folder)
    found = set()
    for row in measurements.rows():
        for metric in folder.spec.task_config().metrics.measured([row]):
            contributions = measurements.contributions_to(metric)
            if contributions is not None:
                values = contributions(row)
                assert isinstance(values, ExampleValues)
                assert len(set(values.ids.tolist())) == len(values.values)
                assert values.values.mean() == pytest.approx(row[metric], abs=1e-9), metric
                found.add(metric)
    return found
