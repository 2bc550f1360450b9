"""A small vision transformer behind a few convolutions, for small images and a few processor cores.

Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021. Patches come from convolutions, with
which transformers learn from fewer images and with plain SGD (Xiao et al., "Early convolutions help
transformers see better", NeurIPS 2021). Positions are fixed sines and cosines of row and column, so that the
shapes of the weights do not depend on the size of the images, and the classifier reads the mean over patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.input_spec import InputSpec
from distillab.models.minis import ConvNormReLU
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

_WIDTH, _HEADS, _DEPTH, _MLP_RATIO = 96, 3, 4, 2
_STEM = (24, 48)  # channels before the patches
_LONGEST_WAVE = 1000.0  # in patches, over two pi


class TransformerBlock(nn.Module):
    """Self-attention and a perceptron, each behind a layer normalization: ``[N, L, C]`` -> the same shape.

    Args:
        width: Channels C.
        heads: Heads of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.norm2 = nn.LayerNorm(width)
        hidden = _MLP_RATIO * width
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attention(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y

    def _attention(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(n, length, width))
        return y


class VisionTransformer(nn.Module):
    """Convolutions with a stride of 4 behind the stem, transformer blocks, and a classifier of their mean.

    Args:
        classes: Number of logits.
        inputs: Shape of one input, which decides on the stem (:mod:`distillab.models.stems`).

    Example:
        >>> from distillab.models import build_model
        >>> network = build_model("vit_mini", classes=14, inputs=InputSpec(1, 96, 96))
        >>> network.patches(torch.zeros(1, 1, 96, 96)).shape
        torch.Size([1, 96, 6, 6])
    """

    def __init__(self, classes: int, inputs: InputSpec) -> None:
        super().__init__()
        first, second = _STEM
        self.patches = nn.Sequential(
            ConvNormReLU(inputs.channels, first, stride=stem_stride(inputs)),
            stem_pooling(inputs),
            ConvNormReLU(first, second, stride=2),
            ConvNormReLU(second, _WIDTH, stride=2),
            nn.Conv2d(_WIDTH, _WIDTH, 1),
        )
        self.stages = nn.Sequential(*(TransformerBlock(_WIDTH, _HEADS) for _ in range(_DEPTH)))
        self.norm, self.fc = nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.patches(x)
        tokens = (patches + positions(*patches.shape[1:]).to(patches)).flatten(2).transpose(1, 2)
        logits: Tensor = self.fc(self.norm(self.stages(tokens)).mean(1))
        return logits


def positions(channels: int, rows: int, columns: int) -> Tensor:
    """Return what is added to patches so that attention sees where they are.

    Half of the channels are sines and cosines of the row, the others of the column.

    Args:
        channels: A multiple of 4.
        rows: Rows of patches.
        columns: Columns of patches.

    Returns:
        float32 ``[channels, rows, columns]``.

    Example:
        >>> positions(4, 1, 2)[:, 0, 0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    quarter = channels // 4
    rates = _LONGEST_WAVE ** (-torch.arange(quarter) / quarter)
    parts = []
    for count, shape in ((rows, (-1, rows, 1)), (columns, (-1, 1, columns))):
        angles = rates[:, None] * torch.arange(count)
        waves = torch.cat([angles.sin(), angles.cos()])
        parts.append(waves.reshape(shape).expand(2 * quarter, rows, columns))
    return torch.cat(parts)


@register_for_small_images("vit_mini")
def vit_mini(*, classes: int, inputs: InputSpec) -> nn.Module:
    """small vision transformer behind convolutions, four blocks of 96 channels, 0.4 M parameters"""
    return VisionTransformer(classes, inputs)
