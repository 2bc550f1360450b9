"""Trained weights as the initial weights of a network whose classes, or channels, may be others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dense_network import DenseNetwork
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
) -> StartedNetwork | KeptWeights:
    """Load trained weights into a freshly built network.

    A classifier for another number of classes, or none, is accepted: that of the network then keeps its
    random weights. For gray inputs, weights for three channels are added up, which gives what the network
    would give for an image with three equal channels. Everything else must fit.

    A detector starts from weights of its own kind, or from those of a classifier that has its backbone: all
    of these must fit, and the pyramid and the heads keep their random weights.

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
    if isinstance(model, DenseNetwork):
        return _start_dense(model, held, name=name)
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


def _start_dense(model: DenseNetwork, held: WeightFile, *, name: str) -> KeptWeights:
    own = model.state_dict()
    backbone = {key for key in own if key.startswith(model.backbone)}
    for entry in held.entries:
        fitting = {
            key for key, value in entry.tensors.items() if key in own and value.shape == own[key].shape
        }
        if backbone <= fitting:
            kept = keep_fitting(model, entry.tensors, name=name)
            _require_finite(model, held.path)
            return kept
    raise RequestError(
        f"the weights have another backbone than {name}",
        where=str(held.path),
        allowed=f"those of {name}, or of a classifier with its backbone (groupnorm_...)",
    )


@dataclass(frozen=True)
class KeptWeights:
    """What a network kept of the weights of another one.

    Attributes:
        kept: Number of parameters that were kept.
        total: Number of parameters of the network.
        modules: The modules whose weights were all kept, those within them left out.
        keys: The names of the weights that were kept.

    Example:
        >>> KeptWeights(kept=30, total=60, modules=("conv1", "layer1")).text
        'of which it keeps 50 % of its parameters (conv1, layer1 whole)'
    """

    kept: int
    total: int
    modules: tuple[str, ...]
    keys: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """What was kept, in a few words."""
        whole = f" ({', '.join(self.modules)} whole)" if self.modules else ""
        return f"of which it keeps {100 * self.kept / self.total:.0f} % of its parameters{whole}"


def keep_fitting(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    name: str,
    head: str | None = None,
    fresh_classifier: bool = False,
) -> KeptWeights:
    """Load into a network the weights of another one that have a name and a shape of its own.

    A module keeps its own weights in whole if they do not all fit: half a block is no block. The modules are
    those of the first level, and of containers (``nn.Sequential``) the ones within.

    Args:
        model: The network.
        state: The weights of the other one.
        name: The network's name, for errors.
        head: The classifier, which is nothing without the layers before it.
        fresh_classifier: Whether the classifier keeps its own weights even if it fits.

    Raises:
        RequestError: No module but the classifier fits.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(3, 32, 32)
        >>> small, large = (build_model(name, classes=5, inputs=inputs) for name in ("resnet8", "resnet14"))
        >>> keep_fitting(small, large.state_dict(), name="resnet8").modules
        ('conv1', 'bn1', 'stages', 'fc')
    """
    own = model.state_dict()
    fitting = {key for key, value in own.items() if key in state and state[key].shape == value.shape}
    units = [unit for unit in _units(model) if _weights_of(own, unit) <= fitting]
    units = [unit for unit in units if not (fresh_classifier and unit == head)]
    keys = set[str]().union(*(_weights_of(own, unit) for unit in units))
    parameters = {key: value.numel() for key, value in model.named_parameters()}
    kept = sum(size for key, size in parameters.items() if key in keys)
    if not any(key in keys and not _is_in(key, head) for key in parameters):
        raise RequestError(
            "no layer of the teacher has the name and the shape of one of the student's",
            where=name,
            allowed="a teacher of the same family, or another start",
        )
    model.load_state_dict({key: state[key] for key in keys}, strict=False)
    whole = _outermost(model, lambda unit: (held := _weights_of(own, unit)) != set() and held <= keys)
    return KeptWeights(kept, sum(parameters.values()), tuple(whole), frozenset(keys))


def _units(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Go through what is kept whole or not at all: modules, and parameters that are in none."""
    yield from (f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False))
    for child, inner in module.named_children():
        place = f"{prefix}{child}"
        if isinstance(inner, nn.Sequential | nn.ModuleList):
            yield from _units(inner, f"{place}.")
        else:
            yield place


def _outermost(module: nn.Module, is_kept: Callable[[str], bool], prefix: str = "") -> Iterator[str]:
    """Go through the modules that are kept in whole, but for those within another one."""
    for child, inner in module.named_children():
        place = f"{prefix}{child}"
        if is_kept(place):
            yield place
        elif isinstance(inner, nn.Sequential | nn.ModuleList):
            yield from _outermost(inner, is_kept, f"{place}.")


def _weights_of(state: Mapping[str, Tensor], module: str) -> set[str]:
    return {key for key in state if key == module or _is_in(key, module)}


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
