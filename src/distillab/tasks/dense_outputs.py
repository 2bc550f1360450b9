"""The outputs of a detector for the cells of its grids, in one tensor.

A detector returns ``[N, cells, classes + 10]``. After the logits of the classes, the columns of a cell are
four numbers that code a box, the logit of its quality, the anchor that the box is coded by (left, top, right,
bottom in pixels), and the kind of code. Anchor and code are the same for all images: networks of a pair that
share them differ in the other columns alone. A network for tracking has an embedding of the object's identity
as well, of 32 numbers before the anchor: ``[N, cells, classes + 42]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from distillab.tasks.losses import in_full_precision

DISTANCES: Final = 0
"""Code of FCOS: distances of the edges from the center of the anchor, in sizes of the anchor."""
OFFSETS: Final = 1
"""Code of RetinaNet: offset of the center and logarithms of the sides, relative to the anchor."""
CENTERS: Final = 2
"""Code of a network for tracking: that of RetinaNet, beside an embedding of the identity."""
CELL_COLUMNS: Final = 10
"""Columns of a cell after the logits of the classes, without an embedding."""
EMBEDDING_SIZE: Final = 32
"""Numbers in the embedding of an identity."""
_BOX, _QUALITY, _ANCHOR, _CODE = 4, 1, 4, 1
_LARGEST_GROWTH = math.log(1000 / 16)  # of a side, in logarithms, as in torchvision


@dataclass(frozen=True)
class DenseOutputs:
    """The outputs of a detector for A cells.

    Attributes:
        scores: Logits of the classes, float ``[N, A, K]``.
        boxes: Coded boxes, float ``[N, A, 4]``.
        quality: Logits of the quality of a box (centerness), float ``[N, A]``; used under ``DISTANCES``.
        anchors: float ``[A, 4]``.
        code: ``DISTANCES``, ``OFFSETS`` or ``CENTERS``.
        embedding: Embeddings of the identities, of unit length, float ``[N, A, 32]``; None unless the code is
            ``CENTERS``.

    Example:
        >>> anchors = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
        >>> scores, boxes, quality = torch.zeros(1, 1, 2), torch.ones(1, 1, 4), torch.zeros(1, 1)
        >>> made = DenseOutputs(scores, boxes, quality, anchors, DISTANCES)
        >>> made.tensor().shape
        torch.Size([1, 1, 12])
        >>> DenseOutputs.of(made.tensor()).decoded().tolist()
        [[[-4.0, -4.0, 12.0, 12.0]]]
    """

    scores: Tensor
    boxes: Tensor
    quality: Tensor
    anchors: Tensor
    code: int
    embedding: Tensor | None = None

    @classmethod
    def of(cls, outputs: Tensor) -> DenseOutputs:
        """Return the parts of the outputs of a detector, in float32 at least."""
        code = int(outputs[0, 0, -1].detach())
        further = EMBEDDING_SIZE if code == CENTERS else 0
        classes = outputs.shape[2] - CELL_COLUMNS - further
        widths = [classes, _BOX, _QUALITY, further, _ANCHOR, _CODE]
        scores, boxes, quality, embedding, anchors, _ = torch.split(in_full_precision(outputs), widths, dim=2)
        known = embedding if further else None
        return cls(scores, boxes, quality[..., 0], anchors[0].detach(), code, known)

    def tensor(self) -> Tensor:
        """Return the outputs in one tensor, ``[N, A, K + 10]``, or ``[N, A, K + 42]`` with embeddings."""
        count = self.scores.shape[0]  # len() would be a constant in an exported graph
        geometry = torch.cat([self.anchors, torch.full_like(self.anchors[:, :1], self.code)], dim=1)
        own = [self.scores, self.boxes, self.quality[..., None]]
        if self.embedding is not None:
            own.append(self.embedding)
        return torch.cat([*own, geometry.expand(count, -1, -1)], dim=2)

    def decoded(self) -> Tensor:
        """Return the boxes, left, top, right and bottom in pixels, float ``[N, A, 4]``."""
        sizes = self.anchors[:, 2:] - self.anchors[:, :2]
        centers = (self.anchors[:, 2:] + self.anchors[:, :2]) / 2
        if self.code == DISTANCES:
            return torch.cat(
                [centers - self.boxes[..., :2] * sizes, centers + self.boxes[..., 2:] * sizes], dim=2
            )
        middle = centers + self.boxes[..., :2] * sizes
        half = sizes * self.boxes[..., 2:].clamp(max=_LARGEST_GROWTH).exp() / 2
        return torch.cat([middle - half, middle + half], dim=2)

    def coded(self, boxes: Tensor) -> Tensor:
        """Return the code of boxes for the anchors: ``[N, A, 4]``, or ``[A, 4]``, to the same shape."""
        sizes = self.anchors[:, 2:] - self.anchors[:, :2]
        centers = (self.anchors[:, 2:] + self.anchors[:, :2]) / 2
        if self.code == DISTANCES:
            return torch.cat([(centers - boxes[..., :2]) / sizes, (boxes[..., 2:] - centers) / sizes], dim=-1)
        offset = ((boxes[..., :2] + boxes[..., 2:]) / 2 - centers) / sizes
        return torch.cat([offset, ((boxes[..., 2:] - boxes[..., :2]) / sizes).log()], dim=-1)

    def confidences(self) -> Tensor:
        """Return the confidence in each class of each cell, float ``[N, A, K]`` in [0, 1]."""
        found = self.scores.sigmoid()
        return (found * self.quality.sigmoid()[..., None]).sqrt() if self.code == DISTANCES else found
