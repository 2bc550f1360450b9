"""The mean of a network over the eight quarter turns and mirror images of its input."""

from __future__ import annotations

import re

from torch import Tensor, nn

from distillab.modalities.views.dihedral import ORDER, dihedral_view
from distillab.models.dry_run import logits_of

ORBIT = "orbit"
ORBIT_NAME = re.compile(rf"{ORBIT}\((.+)\)")


def orbit_name(name: str) -> str:
    """Return the name by which ``build_model`` builds the mean of a network over an orbit.

    Example:
        >>> orbit_name("resnet20")
        'orbit(resnet20)'
    """
    return f"{ORBIT}({name})"


def split_orbit(name: str) -> str | None:
    """Return the argument of :func:`orbit_name`, or None for the name of another network.

    Example:
        >>> split_orbit("orbit(mean(resnet8+resnet14))"), split_orbit("resnet8")
        ('mean(resnet8+resnet14)', None)
    """
    found = ORBIT_NAME.fullmatch(name)
    return found[1] if found else None


class OrbitMean(nn.Module):
    """A network whose logits are the mean over the eight views of its input: sum_g z(g x) / 8.

    It is the same for all views of an input, up to rounding: the logits are invariant under the dihedral
    group, whatever the network. The mean of logits is the normalized geometric mean of the predictions. It
    has no features of its own: methods that learn from an embedding or from maps need the network itself.

    Args:
        network: The network, ``[N, C, H, W]`` -> ``[N, classes]``, for square inputs.

    Example:
        >>> network = OrbitMean(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        >>> x = torch.rand(1, 1, 2, 2)
        >>> bool(torch.allclose(network(x), network(x.rot90(1, (2, 3)))))
        True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[N, classes]`` of inputs ``[N, C, H, W]`` with H = W."""
        logits = logits_of(self.network(x))
        for number in range(1, ORDER):
            logits = logits + logits_of(self.network(dihedral_view(x, number)))
        return logits / ORDER
