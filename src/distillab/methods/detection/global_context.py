"""The relation between all places of a feature map: a global context block."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GlobalContext(nn.Module):
    """A global context block: f + expand(relu(norm(reduce(sum_j softmax(key f)_j f_j)))) for maps f.

    The same vector per image, a weighted mean over all places put through a bottleneck of half as many
    channels, is added to every place.

    Source: Cao et al., "GCNet", ICCV Workshops 2019, figure 4d.

    Args:
        channels: C.
        fixed: Whether the block keeps its random initial weights. They are buffers then. Otherwise it is
            trained, and begins as the identity.

    Example:
        >>> block = GlobalContext(8, fixed=True)
        >>> block(torch.ones(2, 8, 4, 4)).shape, list(block.parameters())
        (torch.Size([2, 8, 4, 4]), [])
    """

    def __init__(self, channels: int, *, fixed: bool) -> None:
        super().__init__()
        middle = max(channels // 2, 1)
        self.key = nn.Linear(channels, 1)
        self.reduce = nn.Linear(channels, middle)
        self.norm = nn.LayerNorm(middle)
        self.expand = nn.Linear(middle, channels)
        if fixed:
            _parameters_to_buffers(self)
        else:
            nn.init.zeros_(self.expand.weight)
            nn.init.zeros_(self.expand.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps ``[N, C, H, W]`` with their context."""
        places = maps.flatten(2).transpose(1, 2)  # [N, HW, C]
        shares = self.key(places).softmax(dim=1)
        context = (places * shares).sum(dim=1)
        added: Tensor = self.expand(torch.relu(self.norm(self.reduce(context))))
        return maps + added[:, :, None, None]


def _parameters_to_buffers(module: nn.Module) -> None:
    """Keep all parameters of a module as buffers: they move with it and are not trained."""
    for part in list(module.modules()):
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
