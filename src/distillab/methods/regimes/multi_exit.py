"""Self-distillation from the deepest exit to shallower ones."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.connectors import widen
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Share,
    TeacherKind,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.needs import OF_WHOLE_EXAMPLES
from distillab.models.outputs import Outputs


@method("multi_exit", paper="Zhang et al., Be your own teacher, ICCV 2019")
class MultiExit(Method):
    """Be your own teacher: exits at every stage of the student learn from the deepest one.

    mean_n CE(p_s, y) + sum_k mean_n ((1 - b) CE(p_k, y) + b KL(p_s || p_k)) + l sum_k>1 |A_k f_k - f|.

    k goes over the student's stages but the last. An exit there is a trained 1x1 convolution with batch
    normalization to the channels of the last maps ``[N, C, H, W]``, a ReLU, the average over space f_k,
    and a linear layer; f is that of the last maps and, like p_s in the second term, gets no gradient. p =
    softmax(z / T). The hint compares f with f_k after a trained linear layer A_k, at all exits but the
    shallowest; |.| is the Euclidean length of the differences of the whole batch, ``[N, C]``, and grows with
    the root of its size. Exits are not evaluated nor kept. b is the authors' alpha, l their lambda.

    Defaults are the authors': b 0.3, T 3, l 0.03. As in their program, the softened term is not multiplied by
    T^2.

    Deviations: the authors' exits are separable convolutions behind an attention to places; one convolution
    fits any network. Their program means to spare the shallowest exit the hint, by its comment, and spares
    the last but one, by its index; here it is the shallowest. A student with two stages has no hint.

    Paper: Zhang, Song, Gao, Chen, Bao and Ma, "Be your own teacher: improve the performance of convolutional
    neural networks via self distillation", ICCV 2019, equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "maps"})
    teacher: ClassVar[TeacherKind] = "none"
    learns_unlabelled: ClassVar[bool | None] = True
    revision: ClassVar[int] = 3
    tasks: ClassVar[frozenset[str] | None] = OF_WHOLE_EXAMPLES

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            kd_share: b.
            temperature: T.
            hint_weight: l.
            ce_weight: Weight of the supervised loss of the last exit.
        """

        kd_share: Share = 0.3
        temperature: Temperature = 3.0
        hint_weight: Weight = 0.03

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        *shallow, deepest = pair.student.maps
        if not shallow:
            raise RequestError(
                f"method {self.name} needs two stages in the student, and it has one",
                allowed="a network with more stages, or self",
            )
        width = deepest[0]
        self.necks = nn.ModuleList(nn.Sequential(widen(shape[0], width), nn.ReLU()) for shape in shallow)
        self.adaptations = nn.ModuleList(nn.Linear(width, width) for _ in shallow[1:])
        self.exits = nn.ModuleList(nn.Linear(width, pair.student.classes) for _ in shallow)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``exits``, ``kd`` and ``hints``.

        Raises:
            ValueError: The student gives no feature maps.
        """
        if not student.maps:
            raise ValueError(f"method {self.name} needs the feature maps of the student")
        *shallow, deepest = (in_full_precision(each) for each in student.maps)
        feature = deepest.mean((2, 3)).detach()
        pooled = [neck(each).mean((2, 3)) for neck, each in zip(self.necks, shallow, strict=True)]
        logits = [layer(each) for layer, each in zip(self.exits, pooled, strict=True)]
        share, temperature = self.config.kd_share, self.config.temperature
        supervised = [(1 - share) * self.label_loss(z, batch).mean() for z in logits]
        softened = [share * self.task.divergence(z, student.logits, temperature).mean() for z in logits]
        adapted = [layer(each) for layer, each in zip(self.adaptations, pooled[1:], strict=True)]
        hints = [torch.linalg.vector_norm(each - feature) for each in adapted]
        zero = deepest.new_zeros(())
        return {
            "exits": sum(supervised, zero),
            "kd": sum(softened, zero),
            "hints": self.config.hint_weight * sum(hints, zero),
        }
