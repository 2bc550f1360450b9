"""Runs in MLflow: in a SQLite file of the study's folder, or where ``MLFLOW_TRACKING_URI`` says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from distillab.errors import RequestError
from distillab.extras import import_extra
from distillab.study.folder import StudyFolder
from distillab.track.runs import TrackedRun
from distillab.track.tracking import Tracked

DATABASE, FILES = "mlflow.db", "mlflow-artifacts"
ADDRESS = "MLFLOW_TRACKING_URI"
RUN_TAG, STUDY_TAG, PARENT_TAG = "distillab.run_id", "distillab.study", "mlflow.parentRunId"
LONGEST_PARAM = 6000  # characters, MLflow's limit
AT_ONCE = 100  # parameters of a batch, MLflow's limit; metrics may be ten times as many
FINISHED, FAILED = "FINISHED", "FAILED"


def track_in_mlflow(folder: StudyFolder, runs: Iterable[TrackedRun], files: Iterable[Path]) -> Tracked:
    """Add the runs that MLflow lacks, below one run of the study that holds its files.

    A run counts once it is finished: one that was being written when the process ended is deleted and
    written again, and so is one that failed then and is done now.

    Args:
        folder: The study.
        runs: Its runs.
        files: Its files, logged anew each time.

    Raises:
        RequestError: MLflow is not installed, or its store cannot be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    import_extra("mlflow", "track", "tracking in mlflow", where="--track")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    place = os.environ.get(ADDRESS) or f"sqlite:///{(folder.path / DATABASE).absolute()}"
    try:
        store = _Store(MlflowClient(tracking_uri=place), folder)
        added = total = 0
        for run in runs:
            total += 1
            added += store.add(run)
        store.log_files(files)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise RequestError(
            f"MLflow cannot use its store ({reason})",
            where=f"--track mlflow: {place}",
            allowed=f"another {ADDRESS}",
        ) from error
    return Tracked("mlflow", place, added, total)


class _Store:
    """The experiment of a study: a run for the study, and one for each of its runs below it."""

    def __init__(self, client: Any, folder: StudyFolder) -> None:
        self.client, spec = client, folder.spec
        self.identity = spec.identity
        found = client.get_experiment_by_name(spec.study)
        local = not os.environ.get(ADDRESS)
        where = (folder.path / FILES).absolute().as_uri() if local else None
        self.experiment = found.experiment_id if found else client.create_experiment(spec.study, where)
        held = list(self._search(f"tags.`{STUDY_TAG}` = '{self.identity}'"))
        parents = [each for each in held if RUN_TAG not in each.data.tags]
        self.known = {each.data.tags[RUN_TAG]: each for each in held if RUN_TAG in each.data.tags}
        if parents:
            self.parent = parents[0].info.run_id
        else:
            tags = {STUDY_TAG: self.identity}
            made = client.create_run(self.experiment, run_name=spec.study, tags=tags)
            self.parent = made.info.run_id
            keys = {"data": str(spec.data.get("source")), "teacher": spec.teacher.label}
            keys |= {"methods": ", ".join(method.label for method in spec.method_specs())}
            self._log(self.parent, keys, {}, ())

    def add(self, run: TrackedRun) -> bool:
        """Add a run unless it is there, and return True if it was not."""
        status = FAILED if run.failed else FINISHED
        held = self.known.get(run.id)
        if held is not None and held.info.status == status:
            return False
        if held is not None:
            self.client.delete_run(held.info.run_id)
        tags = {RUN_TAG: run.id, STUDY_TAG: self.identity, PARENT_TAG: self.parent, "kind": run.kind}
        tags |= {"error": run.failed} if run.failed else {}
        made = self.client.create_run(self.experiment, run_name=run.name, tags=tags).info.run_id
        self._log(made, run.params, run.metrics, [(each.name, each.value, each.step) for each in run.curve])
        for file in run.files:
            self.client.log_artifact(made, str(file))
        self.client.set_terminated(made, status)
        return held is None

    def log_files(self, files: Iterable[Path]) -> None:
        """Log the files of the study, in the place of those of earlier calls."""
        for file in files:
            self.client.log_artifact(self.parent, str(file))
        self.client.set_terminated(self.parent)

    def _log(
        self, run: str, params: Mapping[str, str], metrics: Mapping[str, float], curve: Iterable[Any]
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        for some in _portions(list(params.items()), AT_ONCE):
            self.client.log_batch(run, params=[Param(key, value[:LONGEST_PARAM]) for key, value in some])
        points = [Metric(f"curve.{name}", value, now, step) for name, value, step in curve]
        points += [Metric(_key(name), value, now, 0) for name, value in metrics.items()]
        for several in _portions(points, 10 * AT_ONCE):
            self.client.log_batch(run, metrics=several)

    def _search(self, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _portions(values: list[Any], size: int) -> Iterator[list[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _key(name: str) -> str:
    """Return the name of a metric with characters that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)
