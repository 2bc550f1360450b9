"""The stages of a compression: what fine-tuning starts from, and the arms that its runs belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from distillab.deploy.compression.arms import KIND_NOUNS, PruningKind, Technique
from distillab.deploy.compression.channels import prune_channels
from distillab.deploy.compression.layers import PrunableLayers
from distillab.deploy.compression.masks import mask_smallest, without_masks
from distillab.models import InputSpec

Recovery = Literal["plain", "distilled"]
RECOVERIES: tuple[Recovery, ...] = ("plain", "distilled")
Lineage = tuple[PruningKind, Recovery]
"""How a network is pruned at every stage, and fine-tuned after every stage."""


@dataclass(frozen=True, eq=False)
class FineTuningStart:
    """A network that plain and distilled fine-tuning start from.

    Attributes:
        network: The network, with its masks if it has any.
        kind: How it was pruned; None for the network as given.
        sparsity: The share of weights that was removed.
        after: By which fine-tuning it was recovered after the stages before; empty at the first stage.

    Example:
        >>> FineTuningStart(nn.Identity(), "structured", 0.5, "distilled").label
        'channels 50% after distilled'
    """

    network: nn.Module
    kind: PruningKind | None = None
    sparsity: float = 0.0
    after: Recovery | Literal[""] = ""

    @property
    def label(self) -> str:
        """Its name as a student of a study."""
        if self.kind is None:
            return "unpruned"
        name = f"{KIND_NOUNS[self.kind]} {100 * self.sparsity:.3g}%"
        return f"{name} after {self.after}" if self.after else name

    def techniques(self, recovery: Recovery) -> tuple[Technique, ...] | None:
        """Return the techniques of the arm that its runs under a fine-tuning belong to.

        Returns:
            None if they belong to no arm, since the weights were recovered by the other fine-tuning before.

        Example:
            >>> FineTuningStart(nn.Identity(), "structured", 0.5).techniques("distilled")
            ('prune', 'KD')
            >>> FineTuningStart(nn.Identity(), "structured", 0.5, "plain").techniques("distilled") is None
            True
        """
        if self.after not in ("", recovery):
            return None
        pruned: tuple[Technique, ...] = ("prune",) if self.kind else ()
        return (*pruned, "KD") if recovery == "distilled" else pruned


@dataclass(frozen=True, eq=False)
class Pruning:
    """Prunes a network in stages.

    Attributes:
        inputs: Shape of one input.
        classes: Number of logits.
        kinds: How it is pruned.
        weights: Number of weights of the unpruned network that sparsities refer to.
        name: The network's name, for messages.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 2))
        >>> pruning = Pruning.of(network, InputSpec(1, 8, 8), 2, ("unstructured",))
        >>> [start.label for start in pruning.first(network, 0.5)]
        ['unpruned', 'weights 50%']
    """

    inputs: InputSpec
    classes: int
    kinds: tuple[PruningKind, ...]
    weights: int
    name: str

    @classmethod
    def of(
        cls,
        network: nn.Module,
        inputs: InputSpec,
        classes: int,
        kinds: Sequence[PruningKind],
        *,
        name: str = "network",
    ) -> Pruning:
        """Return the pruning of a network.

        Raises:
            RequestError: It has no layer to prune.
        """
        weights = 0
        if kinds:
            weights = PrunableLayers.of(network, inputs, classes, name=name).count(network)
        return cls(inputs, classes, tuple(kinds), weights, name)

    def first(self, network: nn.Module, sparsity: float | None) -> list[FineTuningStart]:
        """Return the starts of the first stage: the network itself, and pruned by each kind.

        Args:
            network: The unpruned network.
            sparsity: That of the stage; None prunes nothing.

        Raises:
            RequestError: The network cannot be pruned.
        """
        starts = [FineTuningStart(network)]
        if sparsity is not None:
            starts += [
                FineTuningStart(self._pruned(network, kind, sparsity), kind, sparsity) for kind in self.kinds
            ]
        return starts

    def next(self, before: Mapping[Lineage, nn.Module], sparsity: float) -> list[FineTuningStart]:
        """Return the starts of a later stage: each lineage's network of the stage before, pruned further.

        Args:
            before: By lineage, the network that was fine-tuned at the stage before, masked or not.
            sparsity: That of the stage.

        Raises:
            RequestError: A network cannot be pruned.
        """
        return [
            FineTuningStart(self._pruned(network, kind, sparsity), kind, sparsity, after)
            for (kind, after), network in before.items()
        ]

    def _pruned(self, network: nn.Module, kind: PruningKind, sparsity: float) -> nn.Module:
        if kind == "unstructured":
            return mask_smallest(network, self.inputs, self.classes, sparsity, name=self.name)
        return prune_channels(
            without_masks(network),
            self.inputs,
            self.classes,
            sparsity,
            weights=self.weights,
            name=self.name,
        )
