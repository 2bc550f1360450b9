"""Trained weights as the initial weights of a network whose classes, or channels, may be others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.input_spec import InputSpec
from distillab.models.inspection import inspect_network
from distillab.models.pretrained import read_pretrained
from distillab.models.stems import first_convolution
from distillab.models.weights import LoadedWeights, StateEntry, WeightFile, load_into, read_weights


@dataclass(frozen=True)
class StartedNetwork:
    """What became of trained weights in a network.

    Attributes:
        loaded: Which part of the file was loaded.
        gray: Whether the first layer's weights for red, green and blue were added up for gray inputs.

    Example:
        >>> StartedNetwork(LoadedWeights(Path("w.pth"), "", "", fresh=("fc.weight", "fc.bias"))).text
        'with a new classifier'
    """

    loaded: LoadedWeights
    gray: bool = False

    @property
    def text(self) -> str:
        """What became of the weights, in a few words; ``""`` if all were loaded as they are."""
        parts = [self.loaded.text] if self.loaded.text else []
        parts += ["with its first layer's colors added up for gray images"] if self.gray else []
        return ", ".join(parts)


def start_from(
    model: nn.Module,
    path: Path,
    inputs: InputSpec,
    *,
    name: str,
    classes: int,
    pretrained: bool = False,
    fresh_classifier: bool = False,
) -> StartedNetwork:
    """Load trained weights into a freshly built network.

    A classifier for another number of classes, or none, is accepted: that of the network then keeps its
    random weights. For gray inputs, weights for three channels are added up, which gives what the network
    would give for an image with three equal channels. Everything else must fit.

    Args:
        model: The network.
        path: The file of the weights.
        inputs: Shape of one input.
        name: The network's name.
        classes: Number of logits.
        pretrained: Whether the file holds the weights that :func:`find_pretrained` found for the name.
        fresh_classifier: Whether the classifier keeps its random weights even if that of the file fits.

    Raises:
        RequestError: The file cannot be read, anything but the classifier does not fit, or there is no linear
            classifier to keep fresh.

    Example:
        >>> import tempfile
        >>> from distillab.models import build_model
        >>> inputs, file = InputSpec(3, 32, 32), Path(tempfile.mkdtemp()) / "ten.pth"
        >>> ten, seven = (build_model("resnet8", classes=count, inputs=inputs) for count in (10, 7))
        >>> torch.save(ten.state_dict(), file)
        >>> start_from(seven, file, inputs, name="resnet8", classes=7).text
        'with a new classifier'
        >>> bool((seven.conv1.weight == ten.conv1.weight).all())
        True
    """
    if pretrained:
        held = WeightFile(path, "torch", (StateEntry((), read_pretrained(name, path, inputs)),))
    else:
        held = read_weights(path)
    held, gray = _for_gray(model, held)
    head = inspect_network(model, inputs, classes=classes, name=name).taps.classifier
    before = {key: value.clone() for key, value in model.state_dict().items() if _is_in(key, head)}
    loaded = load_into(model, held, name=name, classes=classes, new_classifier=True)
    _require_finite(model, path)
    if fresh_classifier and head is None and not loaded.fresh:
        raise RequestError(
            "has no linear classifier, which alone would differ between networks that start from one file",
            where=name,
            allowed="a network with a linear last layer, or random initial weights",
        )
    if fresh_classifier and head is not None:
        model.load_state_dict(before, strict=False)
        loaded = replace(loaded, fresh=tuple(before))
    return StartedNetwork(loaded, gray)


def _require_finite(model: nn.Module, path: Path) -> None:
    broken = next((key for key, value in model.state_dict().items() if not value.isfinite().all()), None)
    if broken is not None:
        raise RequestError(
            f"the weights are not finite: {broken!r} holds NaN or infinity",
            where=str(path),
            allowed="weights of a training that did not diverge",
        )


def _is_in(key: str, module: str | None) -> bool:
    return module is not None and key.startswith(f"{module}.")


def _for_gray(model: nn.Module, held: WeightFile) -> tuple[WeightFile, bool]:
    """Add up the first layer's weights for three channels, if the network takes gray inputs."""
    stem = first_convolution(model)
    if stem is None or stem[1].weight.shape[1] != 1:
        return held, False
    key, shape = f"{stem[0]}.weight", stem[1].weight.shape
    entries = [replace(entry, tensors=_summed(entry.tensors, key, shape)) for entry in held.entries]
    changed = any(new.tensors is not old.tensors for new, old in zip(entries, held.entries, strict=True))
    return replace(held, entries=tuple(entries)), changed


def _summed(tensors: Mapping[str, Tensor], key: str, shape: torch.Size) -> Mapping[str, Tensor]:
    """Return tensors with those of a first layer for three channels added up; the same if there are none."""
    stems = {
        name: value.sum(dim=1, keepdim=True)
        for name, value in tensors.items()
        if (name == key or name.endswith(f".{key}"))
        and value.ndim == 4
        and value.shape == (shape[0], 3, *shape[2:])
    }
    return {**tensors, **stems} if stems else tensors
