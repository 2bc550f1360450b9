"""Initial weights that were trained elsewhere, with the preprocessing that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors.torch import load
from torch import nn

from distillab.integrity import read_checked
from distillab.models import InputSpec, inspect_network
from distillab.models.ensemble import best_member
from distillab.models.input_transforms import rescale_inputs, set_interpolation
from distillab.models.kept_stages import keep_stages
from distillab.models.starting import KeptWeights, StartedNetwork, keep_fitting, start_from


@dataclass(frozen=True)
class InitialWeights:
    """Trained weights that a network starts from.

    Attributes:
        path: Their file.
        digest: Content address of the file.
        pretrained: Whether they are the pretrained weights of the network's name.
        inputs: ``scale`` and ``shift`` per channel that turn the study's normalized images into those that
            the weights were trained on.
        interpolation: How the inputs of ``NAME@PIXELS`` are resized, if not bilinearly.
        run: The kind of the run of the same study that they are the weights of; empty for a file of its own.
        fresh_classifier: Whether the classifier keeps its random weights.
        keep: The number of the network's first stages that keep them in training.

    Example:
        >>> InitialWeights(Path("resnet20.safetensors"), digest="8f0c").pretrained
        False
    """

    path: Path
    digest: str
    pretrained: bool = False
    inputs: Mapping[str, Sequence[float]] | None = None
    interpolation: str | None = None
    run: Literal["student", "teacher", ""] = ""
    fresh_classifier: bool = False
    keep: int = 0

    def as_record(self, trained: nn.Module) -> dict[str, str | int]:
        """Return what the record of a run states about them, and of what the trained network kept of them."""
        found: dict[str, str | int] = {self.run: self.digest}
        if not self.run:
            found = {"weights": self.digest, "file": self.path.name}
        if self.keep:
            kept = (each.numel() for each in trained.parameters() if not each.requires_grad)
            found |= {"kept_stages": self.keep, "kept_parameters": sum(kept)}
        return found

    def load(
        self,
        network: nn.Module,
        inputs: InputSpec,
        *,
        name: str,
        classes: int,
        fresh_classifier: bool = False,
    ) -> StartedNetwork | KeptWeights:
        """Load the weights into a freshly built network, and have it preprocess its inputs as they need.

        The first ``keep`` stages are then out of training (:func:`distillab.models.kept_stages.keep_stages`).
        Of a teacher, the network keeps what fits (:func:`distillab.models.starting.keep_fitting`); of
        several, of the one with the largest weight.

        The arguments are those of :func:`distillab.models.starting.start_from`.

        Raises:
            RequestError: The weights cannot be read or do not fit, or the network has fewer stages.
        """
        started: StartedNetwork | KeptWeights
        if self.run == "teacher":
            fresh = self.fresh_classifier or fresh_classifier
            head = inspect_network(network, inputs, classes=classes, name=name).taps.classifier
            state = best_member(load(read_checked(self.path)))
            started = keep_fitting(network, state, name=name, head=head, fresh_classifier=fresh)
        else:
            started = start_from(
                network,
                self.path,
                inputs,
                name=name,
                classes=classes,
                pretrained=self.pretrained,
                fresh_classifier=fresh_classifier,
            )
        if self.keep:
            keep_stages(network, inputs, self.keep, name=name)
        preprocess_inputs(network, self.inputs, self.interpolation)
        return started


def preprocess_inputs(
    network: nn.Module, scaling: Mapping[str, Sequence[float]] | None, interpolation: str | None
) -> None:
    """Have a network scale its inputs, and resize them in another way, before they reach its first layer."""
    if scaling:
        rescale_inputs(network, **scaling)
    if interpolation:
        set_interpolation(network, interpolation)
