"""Distillation of a detector at several stages: backbone, neck and head."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.connectors import widen
from distillab.methods.detection.attention import Over, channel_attention, spatial_attention
from distillab.methods.detection.global_context import GlobalContext
from distillab.methods.detection.masks import ObjectMasks, object_masks
from distillab.methods.detection.predictions import object_cells, response_losses
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Requirements,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.paired_outputs import (
    TensorPair,
    at_one_size,
    image_size,
    paired_backbones,
    paired_maps,
)
from distillab.models.outputs import Outputs, OutputShapes
from distillab.tasks.dense_outputs import DenseOutputs


@method(
    "mskd",
    paper="Huang et al., Knowledge distillation facilitates the lightweight and efficient plant diseases "
    "detection model, Plant Phenomics 2023",
)
class MultistageDistillation(Method):
    """Multistage distillation: match a detector's backbone, neck and head, objects and background apart.

    a mean_n CE(p_s, y) + w d (b sum_backbone L + n sum_neck L + h H), CE being the loss of the detector.

    L compares a feature map s ``[N, C, H, W]`` of the student, after a trained 1x1 convolution where the
    teacher has other channels, with the teacher's t, both after a sigmoid: L = (f sum F A_s A_c (t - s)^2 +
    g sum G A_s A_c (t - s)^2 + c sum (GC(t) - GC(s))^2) / (N C H W) + e mean_n (sum |A_s(t) - A_s(s)| + sum
    |A_c(t) - A_c(s)|). F is 1 / area of the smallest box at a place, G 1 / number of places outside of all
    boxes; A_s = H W softmax(mean_c |t| / T) and A_c = C softmax(mean_hw |t| / T) are attentions over the
    places and the channels of an image; GC is a global context block. The larger map is average-pooled to
    the smaller one.

    H compares predictions in the cells of objects: i (1 - CIoU) + j BCE(quality) + k KL(softmax(sigmoid)) of
    the classes. d is 1, or (1 - progress)^2 with ``decay``. A stage whose weight is 0 is left out, and its
    outputs are not needed: detectors of two kinds have no cells in common, and learn with ``head_weight: 0``.

    Without boxes (classification) the stages of the network are the backbone, F and G are left out, and
    there is neither neck nor head. p_s is the student's softmax.

    Defaults are the authors' but for what follows: w 0.3, b n h 1, f g c e 0.5, T 1, i j 0.001, k 1, no
    decay. a 1.

    Focal and global distillation (FGD, Yang et al., CVPR 2022) has the same parts on the neck alone:
    ``{backbone_weight: 0, head_weight: 0, mskd_weight: 1, temperature: 0.5, foreground_weight: 0.001,
    background_weight: 0.0005, attention_weight: 0.001, global_weight: 0.000005, squash: none, per: image,
    context: trained}``, the weights being its authors' for detectors of one stage.

    Deviations: attentions are over an image; the authors' program takes the softmax over the batch
    (``softmax_over: batch``). The block GC is random and fixed from its start and shared; the authors draw
    a new one in every step. Objectness is the quality of boxes (FCOS); detectors without it have no such
    term. The 1x1 convolution precedes the sigmoid, and stages are paired from the deepest backwards, which
    are chosen here.

    Paper: Huang et al., "Knowledge distillation facilitates the lightweight and efficient plant diseases
    detection model", Plant Phenomics 2023.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "maps", "logits", "backbone", "inputs"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            mskd_weight: w.
            backbone_weight: b.
            neck_weight: n.
            head_weight: h.
            foreground_weight: f.
            background_weight: g.
            attention_weight: e.
            global_weight: c.
            box_weight: i.
            quality_weight: j.
            class_weight: k.
            temperature: T.
            decay: Whether the transfer terms fade in the course of the training.
            squash: What maps go through before they are compared.
            softmax_over: What the softmax of attentions runs over.
            per: What the sums over places and channels are divided by.
            context: Whether GC is fixed, or trained for each of the networks (FGD).
            ce_weight: a.
        """

        mskd_weight: Weight = 0.3
        backbone_weight: Weight = 1.0
        neck_weight: Weight = 1.0
        head_weight: Weight = 1.0
        foreground_weight: Weight = 0.5
        background_weight: Weight = 0.5
        attention_weight: Weight = 0.5
        global_weight: Weight = 0.5
        box_weight: Weight = 0.001
        quality_weight: Weight = 0.001
        class_weight: Weight = 1.0
        temperature: Temperature = 1.0
        decay: bool = False
        squash: Literal["sigmoid", "none"] = "sigmoid"
        softmax_over: Over = "image"
        per: Literal["element", "image"] = "element"
        context: Literal["fixed", "trained"] = "fixed"

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.stages = nn.ModuleDict(
            {
                name: nn.ModuleList(_MapComparison(config, *both) for both in _paired_channels(name, pair))
                for name in self._stages_of_maps()
            }
        )
        if not self.stages and not (config.head_weight and self.task.dense):
            raise RequestError(
                f"method {self.name} has no stage to compare in the task {self.task.name}",
                allowed="a weight above 0 of the backbone, or of the neck or the head of a detector",
            )

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return what the stages with a weight need."""
        stages: dict[Need, float] = {"backbone": config.backbone_weight, "logits": config.head_weight}
        needs = cls.needs - {need for need, weight in stages.items() if not weight}
        return Requirements(needs, needs, cls.teacher)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``backbone``, ``neck`` and ``head``; a classifier has the first one alone.

        Raises:
            ValueError: A network gives no feature maps.
        """
        config = self.config
        scale = config.mskd_weight * ((1 - batch.progress) ** 2 if config.decay else 1.0)
        weights = {"backbone": config.backbone_weight, "neck": config.neck_weight}
        terms = {}
        for name in self._stages_of_maps():
            of_backbone = name == "backbone" and self.task.dense
            found = (paired_backbones if of_backbone else paired_maps)(self, student, teacher)
            terms[name] = scale * weights[name] * self._of_maps(name, found, batch)
        if config.head_weight and self.task.dense:
            terms["head"] = scale * config.head_weight * self._of_head(student, teacher, batch)
        return terms

    def _stages_of_maps(self) -> list[str]:
        """The stages whose maps are compared: without boxes, the backbone alone."""
        weights = {"backbone": self.config.backbone_weight, "neck": self.config.neck_weight}
        of_task = ["backbone", "neck"] if self.task.dense else ["backbone"]
        return [name for name in of_task if weights[name]]

    def _of_maps(self, stage: str, found: list[TensorPair], batch: Batch) -> Tensor:
        """The loss of a stage, summed over its maps."""
        losses = []
        for compare, (f_s, f_t) in zip(self.stages[stage].children(), found, strict=True):
            own, other = at_one_size(f_s, f_t)
            masks = self._masks(batch, (own.shape[2], own.shape[3])) if self.task.dense else None
            losses.append(compare(own, other, masks))
        return torch.stack(losses).sum()

    def _masks(self, batch: Batch, grid: tuple[int, int]) -> ObjectMasks:
        return object_masks(batch.labels, grid=grid, image=image_size(self, batch))

    def _of_head(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        config = self.config
        own, other = DenseOutputs.of(student.logits), DenseOutputs.of(teacher.logits.detach())
        boxes, quality, classes = response_losses(own, other, object_cells(own, batch.labels))
        weighted = config.box_weight * boxes + config.quality_weight * quality + config.class_weight * classes
        return torch.as_tensor(weighted)


class _MapComparison(nn.Module):
    """L of one pair of maps, with what is trained for it.

    Args:
        config: The configuration of the method.
        student: Channels of the student's map.
        teacher: Channels of the teacher's map.
    """

    def __init__(self, config: MultistageDistillation.Config, student: int, teacher: int) -> None:
        super().__init__()
        self.config = config
        self.align = nn.Identity() if student == teacher else widen(student, teacher, normalize=False)
        fixed = config.context == "fixed"
        contexts = [GlobalContext(teacher, fixed=fixed)]
        self.contexts = nn.ModuleList(contexts if fixed else [*contexts, GlobalContext(teacher, fixed=False)])

    def forward(self, student: Tensor, teacher: Tensor, masks: ObjectMasks | None) -> Tensor:
        """Return L for maps ``[N, C_s, H, W]`` and ``[N, C_t, H, W]``; ``masks`` is None without boxes."""
        config = self.config
        own, other = self.align(student), teacher
        if config.squash == "sigmoid":
            own, other = own.sigmoid(), other.sigmoid()
        size = other.numel() if config.per == "element" else len(other)
        settings = config.temperature, config.softmax_over
        places = [spatial_attention(each, *settings) for each in (own, other)]
        channels = [channel_attention(each, *settings) for each in (own, other)]
        differences = (places[0] - places[1]).abs().sum() + (channels[0] - channels[1]).abs().sum()
        context = (self.contexts[-1](other) - self.contexts[0](own)).square().sum()
        loss: Tensor = (
            config.attention_weight * differences / len(other) + config.global_weight * context / size
        )
        if masks is None:
            return loss
        weights = config.foreground_weight * masks.foreground + config.background_weight * masks.background
        squares = (other - own).square() * channels[1][:, :, None, None] * places[1][:, None]
        loss = loss + (weights.to(squares)[:, None] * squares).sum() / size
        return loss


def _paired_channels(stage: str, pair: Pair) -> list[tuple[int, int]]:
    """Channels of the paired maps of a stage, the student's and the teacher's, from shallow to deep."""

    def channels(shapes: OutputShapes) -> list[int]:
        maps = shapes.backbone if stage == "backbone" and shapes.backbone else shapes.maps
        return [width for width, _, _ in maps]

    own, other = channels(pair.student), channels(pair.teacher or pair.student)
    count = min(len(own), len(other))
    return list(zip(own[-count:], other[-count:], strict=True))
