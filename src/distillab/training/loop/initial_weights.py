"""Initial weights that were trained elsewhere, with the preprocessing that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from distillab.models import InputSpec
from distillab.models.input_transforms import rescale_inputs, set_interpolation
from distillab.models.starting import StartedNetwork, start_from


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

    Example:
        >>> InitialWeights(Path("resnet20.safetensors"), digest="8f0c").pretrained
        False
    """

    path: Path
    digest: str
    pretrained: bool = False
    inputs: Mapping[str, Sequence[float]] | None = None
    interpolation: str | None = None

    def as_record(self) -> dict[str, str]:
        """Return what the record of a run states about them."""
        return {"weights": self.digest, "file": self.path.name}

    def load(
        self,
        network: nn.Module,
        inputs: InputSpec,
        *,
        name: str,
        classes: int,
        fresh_classifier: bool = False,
    ) -> StartedNetwork:
        """Load the weights into a freshly built network, and have it preprocess its inputs as they need.

        The arguments are those of :func:`distillab.models.starting.start_from`.

        Raises:
            RequestError: The weights cannot be read or do not fit.
        """
        started = start_from(
            network,
            self.path,
            inputs,
            name=name,
            classes=classes,
            pretrained=self.pretrained,
            fresh_classifier=fresh_classifier,
        )
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
