"""The stages of a compression as studies: from pruned weights, plain and distilled fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.api.compression_subject import Subject, SubjectData
from distillab.api.studies import Finished, Study
from distillab.artefacts import WEIGHTS, RunRecord, load_state, weights_digest
from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.deploy.compression.arms import CompressionArm, PruningKind
from distillab.deploy.compression.assembly import GIVEN, ArmNetwork, OnCompression, TrainedArm
from distillab.deploy.compression.result import RecoveryGain
from distillab.deploy.compression.stages import RECOVERIES, FineTuningStart, Lineage, Pruning, Recovery
from distillab.methods import parse_method
from distillab.models import build_model
from distillab.models.objects import write_network
from distillab.study.spec.evidence import PLAIN


@dataclass(frozen=True, eq=False)
class StagesTrained:
    """What the stages of a compression left behind.

    Attributes:
        arms: The arms in float, the network as given first.
        recovery: Distilled against plain fine-tuning of the same weights.
        dataset: The data as they were read.
        failed: Number of runs that failed.

    Example:
        >>> StagesTrained.__dataclass_fields__["failed"].type
        'int'
    """

    arms: tuple[TrainedArm, ...]
    recovery: tuple[RecoveryGain, ...]
    dataset: Dataset
    failed: int


@dataclass(frozen=True, eq=False, kw_only=True)
class CompressionStages:
    """The stages of a compression.

    Attributes:
        subject: The network.
        data: The data.
        teacher: What fine-tuning distils from.
        sparsities: The share of weights that is removed after each stage; none prunes nothing.
        kinds: How the network is pruned.
        method: The method of distillation.
        recipe: The recipe of fine-tuning.
        seeds: Number of seeds.
        margin: Margin of practical equivalence, a fraction.
        folder: Where the studies are kept, one folder per stage.
        workers: As for :meth:`Study.run <distillab.Study.run>`, like the next two.
        executor: Name of a registered executor.
        device: Where to train.
        progress: Called with what is being done.

    Example:
        >>> CompressionStages.__dataclass_fields__["seeds"].type
        'int'
    """

    subject: Subject
    data: SubjectData
    teacher: Subject
    sparsities: tuple[float, ...]
    kinds: tuple[PruningKind, ...]
    method: str | JsonObject
    recipe: JsonObject
    seeds: int
    margin: float
    folder: Path
    workers: int | None
    executor: str
    device: str
    progress: OnCompression

    @property
    def identity(self) -> JsonObject:
        """Everything that can change a number."""
        return {
            "data": self.data.entry,
            "networks": [_digest(self.subject), _digest(self.teacher)],
            "pruning": [self.sparsities, self.kinds],
            "fine_tuning": [self._label("distilled"), self.recipe, self.seeds],
            "margin": self.margin,
        }

    @property
    def settings(self) -> dict[str, str]:
        """How networks are pruned and fine-tuned, for the report."""
        return {
            "stages": ", ".join(f"{100 * each:.3g} %" for each in self.sparsities) or "none",
            "fine-tuning": ", ".join(f"{key} {value}" for key, value in sorted(self.recipe.items())),
            "distillation": self._label("distilled"),
            "seeds": str(self.seeds),
        }

    def train(self) -> StagesTrained:
        """Prune and fine-tune, stage by stage; what has run is not run again.

        Raises:
            RequestError: The network cannot be pruned, or the data do not fit it.
            RuntimeError: All runs of an arm failed.
        """
        network, description = self.subject.network, self.subject.description
        size = description.network_input, len(description.classes)
        pruning = Pruning.of(network, *size, self.kinds, name=self.subject.label)
        arms = [
            TrainedArm(
                CompressionArm((), None, 0.0, False, ()), (ArmNetwork(GIVEN, None, np.nan, lambda: network),)
            )
        ]
        recovery: list[RecoveryGain] = []
        failed = 0
        before: dict[Lineage, nn.Module] = {}
        for stage, sparsity in enumerate(self.sparsities or (None,), start=1):
            self.progress(f"pruning, stage {stage}", 0.0)
            starts = (
                pruning.next(before, sparsity) if before and sparsity else pruning.first(network, sparsity)
            )
            finished = self._fine_tune(starts, stage)
            for start in starts:
                for kind in RECOVERIES:
                    techniques = start.techniques(kind)
                    if techniques is None:
                        continue
                    networks = self._networks(start, kind, finished)
                    arms.append(
                        TrainedArm(
                            CompressionArm(techniques, start.kind, start.sparsity, True, ()), tuple(networks)
                        )
                    )
                    if start.kind:
                        before[start.kind, kind] = max(networks, key=lambda each: each.val).build()
                recovery += self._gains(start, finished)
            failed += finished.outcome.failed
        return StagesTrained(tuple(arms), tuple(recovery), finished.folder.dataset, failed)

    def _label(self, kind: Recovery) -> str:
        """Return the method of a fine-tuning, as tables name it."""
        return PLAIN if kind == "plain" else parse_method(self.method, "--method").label

    def _fine_tune(self, starts: Sequence[FineTuningStart], stage: int) -> Finished:
        """Run the study of a stage."""
        own = {"normalization": self.subject.statistics}
        study = Study(
            study=f"compression, stage {stage}",
            data=self.data.entry,
            teacher={"model": self.teacher.network, "normalization": self.teacher.statistics},
            students=[{"name": start.label, "model": start.network, **own} for start in starts],
            methods=[PLAIN, self.method],
            seeds=self.seeds,
            recipe=self.recipe,
            draws={"split": "shared"},
            evidence={"probes": 0, "margin": self.margin},
        )
        text = f"fine-tuning, stage {stage} of {max(1, len(self.sparsities))}"
        return study.run(
            self.folder / str(stage),
            workers=self.workers,
            executor=self.executor,
            device=self.device,
            on_progress=partial(self.progress, text),
        )

    def _networks(self, start: FineTuningStart, kind: Recovery, finished: Finished) -> list[ArmNetwork]:
        """Return the networks of a start after a fine-tuning, by seed."""
        method = self._label(kind)
        wanted = (start.label, method, "done")
        rows = [
            row for row in finished.tables.results if (row["student"], row["method"], row["status"]) == wanted
        ]
        if not rows:
            errors = [failure.error for failure in finished.outcome.failures]
            raise RuntimeError(f"no run of {start.label} by {method} was trained: {', '.join(errors[:1])}")
        networks = []
        for row in rows:
            folder = finished.folder.store.folder("student", row["run_id"])
            record = RunRecord.read(folder)
            networks.append(
                ArmNetwork(
                    row["run_id"],
                    row["seed"],
                    record.curve[-1].val_accuracy,
                    partial(self._built, record.model, folder / WEIGHTS),
                )
            )
        return networks

    def _built(self, model: str, weights: Path) -> nn.Module:
        description = self.subject.description
        with torch.random.fork_rng(devices=[]):
            network = build_model(model, classes=len(description.classes), inputs=description.network_input)
        load_state(network, weights)
        return network.eval()

    def _gains(self, start: FineTuningStart, finished: Finished) -> list[RecoveryGain]:
        """Return what distilled fine-tuning gains over plain fine-tuning of the same weights."""
        wanted = (start.label, self._label("distilled"), "accuracy")
        return [
            RecoveryGain(
                kind=start.kind,
                sparsity=start.sparsity,
                after=start.after,
                plain=row["plain_mean"],
                distilled=row["distilled_mean"],
                gain=row["gain"],
                ci_low=-np.inf if row["ci_low"] is None else row["ci_low"],
                ci_high=np.inf if row["ci_high"] is None else row["ci_high"],
                n_pairs=row["n_pairs"],
                verdict=row["verdict"],
            )
            for row in finished.tables.effects
            if (row["student"], row["method"], row["metric"]) == wanted and row["n_pairs"]
        ]


def _digest(subject: Subject) -> JsonObject:
    name, weights = write_network(subject.network, subject.label)
    return {"model": name, "weights": weights_digest(weights), **subject.statistics}
