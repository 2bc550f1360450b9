"""Detectors: FCOS and RetinaNet on small residual networks with a feature pyramid and GroupNorm.

Batches of detectors are small, so that none of them has BatchNorm. All detectors have three levels, with one
cell per 8, 16 and 32 pixels, and those of a kind share their anchors: their outputs can be compared cell by
cell, and their pyramids level by level, whatever their width.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dense_network import DenseNetwork
from distillab.models.groupnorm_networks import DETECTOR_SIZES, DetectorSize, group_norm, stem_and_stages
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_detector
from distillab.models.stages import Stage
from distillab.models.taps import Taps
from distillab.tasks.dense_outputs import DISTANCES, OFFSETS, DenseOutputs

STRIDES = (8, 16, 32)
"""Pixels per cell of the levels."""
SMALLEST_DETECTED_SIDE = 32
"""Pixels per side below which the deepest level has no cell."""
_SCALES = tuple(2 * 2 ** (third / 3) for third in range(3))  # of RetinaNet's anchors, in strides
_RATIOS = (0.5, 1.0, 2.0)  # height over width
_PRIOR = 0.01  # probability of an object that the initial weights give
DetectorKind = Literal["fcos", "retinanet"]


class Detector(DenseNetwork):
    """FCOS or RetinaNet: images ``[N, C, H, W]`` to ``[N, cells, classes + 10]``.

    The columns are those of :mod:`distillab.tasks.dense_outputs`. The feature maps that methods learn from
    are the levels of the pyramid, from fine to coarse.

    Sources: Tian et al., "FCOS", ICCV 2019; Lin et al., "Focal loss for dense object detection" (RetinaNet)
    and "Feature pyramid networks", 2017; heads and pyramid are torchvision's. Deviations: small backbones,
    three levels, GroupNorm (Wu and He, ECCV 2018), anchors in the middle of cells and twice as large as a
    cell (RetinaNet), shorter towers in small detectors.

    Args:
        kind: ``fcos`` or ``retinanet``.
        size: Its size.
        classes: Number of classes of objects.
        channels: Channels of the images.

    Example:
        >>> detector = Detector("fcos", DETECTOR_SIZES["resnet_s"], classes=3, channels=3)
        >>> detector(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 126, 13])
    """

    def __init__(self, kind: DetectorKind, size: DetectorSize, *, classes: int, channels: int) -> None:
        from torchvision.ops import FeaturePyramidNetwork  # imports torch's compiler, which takes seconds

        super().__init__()
        self.kind = kind
        self.stem, self.stages = stem_and_stages(size, channels)
        self.pyramid = FeaturePyramidNetwork(size.widths[1:], size.channels)
        self.classification, self.regression = _heads(kind, size, classes)

    @property
    def taps(self) -> Taps:
        """Where the levels of the pyramid are read, the stages that it is made from, and both towers."""
        levels = tuple(Stage(f"pyramid.layer_blocks.{level}") for level in range(len(STRIDES)))
        backbone = tuple(Stage(f"stages.{place}") for place in range(1, len(self.stages)))
        towers = ("classification", self.classification), ("regression", self.regression)
        return Taps(None, levels, backbone, tuple(_layers(name, tower.conv) for name, tower in towers))

    def forward(self, x: Tensor) -> Tensor:
        out, features = self.stem(x), {}
        for place, stage in enumerate(self.stages):
            out = stage(out)
            if place:
                features[str(place)] = out
        levels = list(self.pyramid(features).values())
        scores = self.classification(levels)
        if self.kind == "fcos":
            boxes, quality = self.regression(levels)
            quality, code = quality[..., 0].float(), DISTANCES
        else:
            boxes = self.regression(levels)
            quality, code = torch.zeros_like(boxes[..., 0], dtype=torch.float32), OFFSETS
        anchors = anchors_of([(level.shape[2], level.shape[3]) for level in levels], self.kind).to(x.device)
        # Anchors are whole pixels, which half precision does not hold.
        return DenseOutputs(scores.float(), boxes.float(), quality, anchors, code).tensor()


def _layers(name: str, layers: Any) -> tuple[str, ...]:
    """Paths of what ends the layers of a tower: a layer is one block, or convolution, norm and ReLU."""
    ends = [path for path, each in layers.named_children() if isinstance(each, nn.ReLU | nn.Sequential)]
    return tuple(f"{name}.conv.{path}" for path in ends)


def anchors_of(grids: list[tuple[int, int]], kind: DetectorKind) -> Tensor:
    """Return the anchors of all cells, level by level and row by row, float32 ``[A, 4]``.

    Args:
        grids: Rows and columns of the grid of each level.
        kind: ``fcos``, with a square as large as the cell, or ``retinanet``, with nine rectangles per cell.

    Example:
        >>> anchors_of([(1, 2), (1, 1), (1, 1)], "fcos").tolist()[:2]
        [[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0]]
    """
    shapes = torch.tensor([[1.0, 1.0]])
    if kind == "retinanet":
        shapes = torch.tensor([[s / r**0.5, s * r**0.5] for r in _RATIOS for s in _SCALES])
    found = []
    for (rows, columns), stride in zip(grids, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centers = (torch.stack([x, y], dim=2).reshape(-1, 1, 2) + 0.5) * stride
        found.append(
            torch.cat([centers - shapes * stride / 2, centers + shapes * stride / 2], dim=2).flatten(0, 1)
        )
    return torch.cat(found)


def _heads(kind: DetectorKind, size: DetectorSize, classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the towers of classes and of boxes, which all levels share."""
    from torchvision.models.detection import fcos, retinanet  # slow to import

    norm: Any = group_norm
    if kind == "fcos":
        settings = {"num_anchors": 1, "num_convs": size.convolutions, "norm_layer": norm}
        return (
            fcos.FCOSClassificationHead(
                size.channels, num_classes=classes, prior_probability=_PRIOR, **settings
            ),
            fcos.FCOSRegressionHead(size.channels, **settings),
        )
    anchors = len(_SCALES) * len(_RATIOS)
    towers = (
        retinanet.RetinaNetClassificationHead(size.channels, anchors, classes, _PRIOR, norm_layer=norm),
        retinanet.RetinaNetRegressionHead(size.channels, anchors, norm_layer=norm),
    )
    for tower in towers:
        tower.conv = tower.conv[: size.convolutions]
    return towers


def build_detector(kind: DetectorKind, size: str, *, classes: int, inputs: InputSpec) -> Detector:
    """Return a new detector.

    Raises:
        RequestError: The images are too small.

    Example:
        >>> build_detector("retinanet", "dwnet_s", classes=1, inputs=InputSpec(1, 64, 64)).kind
        'retinanet'
    """
    if inputs.shorter_side < SMALLEST_DETECTED_SIDE:
        raise RequestError(
            f"{inputs.size} images are too small for {kind}_{size}",
            allowed=f"a resolution of at least {SMALLEST_DETECTED_SIDE}",
        )
    return Detector(kind, DETECTOR_SIZES[size], classes=classes, channels=inputs.channels)


def _register(kind: DetectorKind, size: str) -> None:
    made = DETECTOR_SIZES[size]
    build = partial(build_detector, kind, size)

    def factory(*, classes: int, inputs: InputSpec) -> nn.Module:
        return build(classes=classes, inputs=inputs)

    body, title = "depthwise" if made.depthwise else "residual", {"fcos": "FCOS", "retinanet": "RetinaNet"}
    factory.__doc__ = (
        f"{title[kind]} on a {body} network of {made.width} to {8 * made.width} "
        f"channels, pyramid of {made.channels} (task detection)"
    )
    register_detector(f"{kind}_{size}")(factory)


for _kind in ("fcos", "retinanet"):
    for _size in DETECTOR_SIZES:
        _register(_kind, _size)
