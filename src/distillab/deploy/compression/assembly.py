"""From trained networks to arms: their files, costs, times and predictions, and the one that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.deploy.checks import Exported
from distillab.deploy.compression.arms import CompressionArm, TestedNetwork
from distillab.deploy.compression.deployed import DeployedNetworkFolder, latencies, write_deployed
from distillab.deploy.compression.masks import without_masks
from distillab.deploy.description import ModelDescription
from distillab.deploy.files import INT8, ONNX
from distillab.deploy.graph import graph_items
from distillab.deploy.writer import write_model

OnCompression = Callable[[str, float], None]
"""Called with what is being done, and the share of it that is finished."""

GIVEN = "given"  # the run of the network as given
LATENCY_SECONDS = 10.0
_NOT_TESTED = np.zeros(1, np.bool_)


@dataclass(frozen=True, eq=False)
class ArmNetwork:
    """A network of an arm.

    Attributes:
        run: The id of its run.
        seed: Its seed; None for the network as given.
        val: Its score on val at the end of training.
        build: Returns it, with its masks if it has any.

    Example:
        >>> ArmNetwork(GIVEN, None, 0.8, lambda: nn.Linear(2, 2)).run
        'given'
    """

    run: str
    seed: int | None
    val: float
    build: Callable[[], nn.Module]


@dataclass(frozen=True, eq=False)
class TrainedArm:
    """An arm in float, with its trained networks.

    Attributes:
        arm: The arm, without networks.
        networks: Its networks, one per seed.

    Example:
        >>> trained = TrainedArm(CompressionArm((), None, 0.0, False, ()), ())
        >>> trained.arm.label
        'as given'
    """

    arm: CompressionArm
    networks: tuple[ArmNetwork, ...]


@dataclass(frozen=True, eq=False)
class Assembly:
    """Makes arms of trained networks.

    Attributes:
        trained: The arms in float; the network as given is the first.
        description: What the network is.
        dataset: The data.
        int8: Whether networks are quantized too.
        folder: Where files are kept.
        progress: Called with what is being done.

    Example:
        >>> Assembly.__dataclass_fields__["int8"].type
        'bool'
    """

    trained: tuple[TrainedArm, ...]
    description: ModelDescription
    dataset: Dataset
    int8: bool
    folder: Path
    progress: OnCompression

    def write_files(self) -> None:
        """Write the files of all networks, those that are not there yet.

        Raises:
            RequestError: A network cannot be written as ONNX.
        """
        wanted = [network for trained in self.trained for network in trained.networks]
        self.folder.mkdir(parents=True, exist_ok=True)
        for done, network in enumerate(wanted):
            folder = self._folder(network.run)
            self.progress("writing and checking ONNX files", done / len(wanted))
            if not folder.is_written:
                write_deployed(
                    without_masks(network.build()).eval(),
                    self.description,
                    folder,
                    val=self.dataset.val,
                    train=self.dataset.train if self.int8 else None,
                )

    def arms(self) -> list[CompressionArm]:
        """Return all arms with their costs and scores on val, and without anything of the test set."""
        arms = []
        for trained in self.trained:
            for int8 in (False, True) if self.int8 else (False,):
                if int8 and trained.arm.is_control:
                    continue
                arms.append(self._arm(trained, int8))
        return self._timed(arms)

    def _arm(self, trained: TrainedArm, int8: bool) -> CompressionArm:
        tested = tuple(
            TestedNetwork(each.run, each.seed, self._folder(each.run).val(int8), _NOT_TESTED)
            for each in trained.networks
        )
        techniques = (*trained.arm.techniques, "int8") if int8 else trained.arm.techniques
        made = replace(trained.arm, techniques=techniques, networks=tested)
        return replace(made, cost=self._folder(made.chosen.run).cost(int8))

    def _timed(self, arms: Sequence[CompressionArm]) -> list[CompressionArm]:
        """Return arms with the latency of their chosen networks, measured in turn."""
        self.progress("timing", 0.0)
        files = {arm.label: self._file(arm).read_bytes() for arm in arms}
        item = graph_items(self.dataset.val.items(np.zeros(1, np.int64)), self.description)
        found = latencies(files, item, seconds=LATENCY_SECONDS)
        return [
            replace(arm, cost=replace(arm.cost, p50_ms=found[arm.label].p50, p95_ms=found[arm.label].p95))
            for arm in arms
            if arm.cost
        ]

    def tested(self, arms: Sequence[CompressionArm]) -> list[CompressionArm]:
        """Return arms with what their networks predict correctly of the test set."""
        test = self.dataset.eval["test"]
        found = []
        for done, arm in enumerate(arms):
            self.progress("testing", done / len(arms))
            int8 = "int8" in arm.techniques
            networks = [
                replace(each, correct=self._folder(each.run).correct(int8, test, self.description))
                for each in arm.networks
            ]
            found.append(replace(arm, networks=tuple(networks)))
        return found

    def ship(
        self, arm: CompressionArm, out: Path, *, max_drop: float, facts: JsonObject, statement: str
    ) -> Exported:
        """Write the chosen network of an arm as an exported model.

        Args:
            arm: The arm.
            out: The folder.
            max_drop: Points of accuracy that int8 may lose on val against this network in float.
            facts: What config.json states of the compression.
            statement: What the model card states of it.

        Raises:
            RequestError: The folder cannot be written.
        """
        run = arm.chosen.run
        network = next(each for of in self.trained for each in of.networks if each.run == run)
        description = replace(
            self.description,
            pruned=self.description.pruned or arm.kind == "structured",
            facts={**self.description.facts, "compression": facts},
        )
        return write_model(
            without_masks(network.build()).eval(),
            out,
            description=description,
            val=self.dataset.val,
            calibration=self.dataset.train,
            formats=("safetensors", "onnx", *(["int8"] if "int8" in arm.techniques else [])),
            max_drop=max_drop,
            training=(self.dataset.train, self.dataset.val),
            sections=[statement],
            on_progress=lambda stage: self.progress(stage, 0.0),
        )

    def quantizations(self, arms: Sequence[CompressionArm]) -> Mapping[str, str]:
        """Return how the chosen networks of the arms in int8 were quantized, by arm."""
        return {
            arm.label: self._folder(arm.chosen.run).quantization() for arm in arms if "int8" in arm.techniques
        }

    def _folder(self, run: str) -> DeployedNetworkFolder:
        return DeployedNetworkFolder(self.folder / run)

    def _file(self, arm: CompressionArm) -> Path:
        return self._folder(arm.chosen.run).path / (INT8 if "int8" in arm.techniques else ONNX)
