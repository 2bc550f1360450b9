"""Loading weights into a network, also those of a pruned one, whose layers have fewer channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from distillab.artefacts import is_utf8
from distillab.errors import RequestError


def load_resized_state(network: nn.Module, path: Path, *, pruned: bool = False) -> None:
    """Load the weights in a safetensors file into a network.

    Args:
        network: The network as its architecture builds it.
        path: The file.
        pruned: Whether layers take the sizes of their weights, which may be smaller than in the architecture.

    Raises:
        RequestError: The file is damaged, or holds the weights of another architecture.

    Example:
        >>> import tempfile
        >>> from distillab.artefacts import save_state
        >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> save_state(nn.Linear(3, 2).state_dict(), file)
        >>> layer = nn.Sequential(nn.Linear(3, 5))[0]
        >>> load_resized_state(layer, file, pruned=True)
        >>> layer
        Linear(in_features=3, out_features=2, bias=True)
    """
    try:
        state = load_file(path) if is_utf8(path) else load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RequestError(
            f"cannot be read ({error})", where=str(path), allowed="the safetensors file as exported"
        ) from error
    if pruned and network.state_dict().keys() == state.keys():
        resize_layers(network, state)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise RequestError(
            f"these are weights of another architecture: {first}",
            where=str(path),
            allowed="the weights that belong to config.json beside them",
        ) from error


def resize_layers(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the layers of a network the sizes of some weights, in place; the weights are not loaded.

    Args:
        network: The network.
        state: Weights of the same names, of other sizes.

    Example:
        >>> conv = nn.Conv2d(4, 4, 3, groups=4)
        >>> resize_layers(conv, {"weight": Tensor(3, 1, 3, 3), "bias": Tensor(3)})
        >>> conv
        Conv2d(3, 3, kernel_size=(3, 3), stride=(1, 1), groups=3)
    """
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        own = {**module._parameters, **module._buffers}
        sizes = {
            name: state[prefix + name].shape
            for name, tensor in own.items()
            if tensor is not None and prefix + name in state and tensor.shape != state[prefix + name].shape
        }
        for name, shape in sizes.items():
            tensor = own[name]
            assert tensor is not None
            empty = tensor.detach().new_zeros(shape)
            if name in module._parameters:
                setattr(module, name, nn.Parameter(empty, requires_grad=tensor.requires_grad))
            else:
                setattr(module, name, empty)
        if sizes:
            _set_sizes(module)


def _set_sizes(module: nn.Module) -> None:
    """Set the attributes of a layer that state its sizes, by its weights."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Conv2d) and weight is not None:
        depthwise = module.groups > 1 and module.groups == module.in_channels
        module.groups = weight.shape[0] if depthwise else module.groups
        module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear) and weight is not None:
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        running = module.running_mean if module.running_mean is not None else weight
        module.num_features = len(running) if running is not None else module.num_features
    elif isinstance(module, nn.LayerNorm) and weight is not None:
        module.normalized_shape = tuple(weight.shape)
    elif isinstance(module, nn.GroupNorm) and weight is not None:
        module.num_channels = len(weight)
