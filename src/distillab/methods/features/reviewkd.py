"""Transfer of every stage of the teacher into the student's stages up to its depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from distillab.methods.connectors import paired_shapes
from distillab.methods.method import Batch, Method, Need, Pair, Share, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings, paired_preactivations
from distillab.models.outputs import Outputs

POOLED_SIDES = (4, 2, 1)  # each weighs half of the one before


@method("reviewkd", paper="Chen et al., Distilling knowledge via knowledge review, CVPR 2021")
class KnowledgeReview(Method):
    """Knowledge review: match every stage of the teacher by fusing the student's stages of that depth on.

    a mean_n CE(p_s, y) + w(t) sum_stages H(r_k, F_k), H a weighted sum of mean_nchw (r - F)^2.

    F are the teacher's maps ``[N, C, H, W]`` before their ReLU, and its embedding as the deepest stage of one
    place. r_k is the fusion of the student's stage k with that of the deeper ones (two gates of a trained
    attention weigh them), enlarged or reduced to the teacher's size by nearest neighbors, and a 3x3
    convolution brings it to the teacher's channels; before it, at that size, the fusion goes to the next
    stage. H compares the maps, with
    weight 1, and their averages over 4x4, 2x2 and 1 places, with 1/2, 1/4 and 1/8, over the sum of weights;
    sizes not below the map's own are left out. p_s is the student's softmax.

    Deviations: the student's maps are those before their ReLU as well, where they have one (pre-activation
    networks, such as wide ResNets, give sums that meet no ReLU). The authors normalize both convolutions of a
    fusion over the batch, as ``batch_norm`` does; by default they are not, since the deepest stage has one
    place per example: its statistics would be those of as many numbers as a batch has examples, undefined for
    one, and the loss of an example would depend on the others.

    Defaults: a 1, at most 512 channels between, weight rising over 20 of 240 epochs, here over that share of
    the training; w by pair, as in the authors' program: 5 for resnet32x4 -> resnet8x4 and among wide ResNets,
    0.6 for resnet56 -> resnet20, 1 for resnet110 -> resnet32 and for resnet34 -> resnet18 of ImageNet (there
    over 1 of 100 epochs). For any other pair w is 1, which nobody has chosen for the pair.

    Paper: Chen, Liu, Zhao and Jia, "Distilling knowledge via knowledge review", CVPR 2021.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "preactivations"})
    revision: ClassVar[int] = 2
    pair_defaults: ClassVar[Mapping[tuple[str, str], Mapping[str, float]]] = {
        ("resnet32x4", "resnet8x4"): {"review_weight": 5.0},
        ("wrn40-2", "wrn16-2"): {"review_weight": 5.0},
        ("wrn40-2", "wrn40-1"): {"review_weight": 5.0},
        ("resnet56", "resnet20"): {"review_weight": 0.6},
        ("resnet110", "resnet32"): {"review_weight": 1.0},
        ("torchvision:resnet34", "torchvision:resnet18"): {"review_weight": 1.0, "warmup": 1 / 100},
        ("timm:resnet34", "timm:resnet18"): {"review_weight": 1.0, "warmup": 1 / 100},
    }

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            widest: Most channels of a fusion.
            warmup: Share of the training over which w rises.
            batch_norm: Whether the convolutions of a fusion are followed by batch normalization.
            review_weight: w; by pair unless it is stated.
            ce_weight: a.
        """

        widest: Annotated[int, Field(ge=1, strict=True)] = 512
        warmup: Share = 20 / 240
        batch_norm: bool = False
        review_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        teacher = pair.student if pair.teacher is None else pair.teacher
        widths = [(shape_s[0], shape_t[0]) for shape_s, shape_t in paired_shapes(pair)]
        widths.append((pair.student.embedding or 1, teacher.embedding or 1))
        middle = min(config.widest, widths[-1][0])
        self.fusions = nn.ModuleList(
            Fusion(width_s, middle, width_t, alone=place == len(widths) - 1, normalize=config.batch_norm)
            for place, (width_s, width_t) in enumerate(widths)
        )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``review``.

        Raises:
            ValueError: A network gives no preactivations or no embedding.
        """
        found = paired_preactivations(self, student, teacher)
        e_s, e_t = paired_embeddings(self, student, teacher)
        stages = [*found, (e_s[:, :, None, None], e_t[:, :, None, None])]
        deeper: Tensor | None = None
        parts = []
        for fusion, (f_s, f_t) in reversed(list(zip(self.fusions, stages, strict=True))):
            reviewed, deeper = fusion(f_s, deeper, f_t.shape[2:])
            parts.append(pyramid_distance(reviewed, f_t))
        rise = batch.warmed_up(self.config.warmup)
        return {"review": self.config.review_weight * rise * torch.stack(parts).sum()}


class Fusion(nn.Module):
    """Fuses a stage with the fusion of the deeper ones, by two gates."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, alone: bool, normalize: bool) -> None:
        super().__init__()
        enter = nn.Conv2d(inputs, middle, 1, bias=False)
        leave = nn.Conv2d(middle, outputs, 3, padding=1, bias=False)
        self.enter: nn.Module = nn.Sequential(enter, nn.BatchNorm2d(middle)) if normalize else enter
        self.leave: nn.Module = nn.Sequential(leave, nn.BatchNorm2d(outputs)) if normalize else leave
        self.gates = None if alone else nn.Conv2d(2 * middle, 2, 1)

    def forward(self, maps: Tensor, deeper: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Return the fusion in the teacher's channels, and as the next stage takes it.

        Args:
            maps: ``[N, inputs, H, W]``.
            deeper: ``[N, middle, h, w]``, the fusion of the deeper stages.
            size: Height and width of the teacher's maps, which both results have.
        """
        x: Tensor = self.enter(maps)
        if self.gates is not None and deeper is not None:
            deeper = F.interpolate(deeper, x.shape[2:], mode="nearest")
            gates = self.gates(torch.cat((x, deeper), dim=1)).sigmoid()
            x = x * gates[:, :1] + deeper * gates[:, 1:]
        x = x if x.shape[2:] == size else F.interpolate(x, size, mode="nearest")
        return self.leave(x), x


def pyramid_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return H of one stage: maps ``[N, C, H, W]`` both, a scalar."""
    loss, weight, total = F.mse_loss(student, teacher), 1.0, 1.0
    for side in POOLED_SIDES:
        if side >= student.shape[2]:
            continue
        weight /= 2
        f_s, f_t = (adaptive_avg_pool2d(x, side) for x in (student, teacher))
        loss, total = loss + weight * F.mse_loss(f_s, f_t), total + weight
    return loss / total
