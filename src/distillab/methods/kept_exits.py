"""Exits that a method gives a student, and that stay in it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import StrictBool
from torch import Tensor, nn

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, WeightedConfig
from distillab.methods.needs import OF_WHOLE_EXAMPLES
from distillab.models.exits import Exit, NetworkWithExits, new_exits
from distillab.models.outputs import Outputs


class ExitsConfig(WeightedConfig):
    """Hyper-parameters of a method whose exits stay in the student.

    Attributes:
        vote: Whether the logits of the student are the mean over all exits, and not those of the last.
    """

    vote: StrictBool = False


class KeptExits(Method):
    """A method that gives the student an exit at every stage but the last.

    An exit is average pooling to the size of the last stage, a 1x1 convolution with batch normalization to
    its channels, a ReLU, the mean over space and a linear layer (:class:`~distillab.models.exits.Exit`). The
    last exit is the student's own classifier. What is trained, evaluated and saved is the student with its
    exits.

    Raises:
        RequestError: When built, if the student has less than two stages.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "maps"})
    keeps_exits: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = OF_WHOLE_EXAMPLES

    Config: ClassVar[type[ExitsConfig]] = ExitsConfig

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.exits: nn.ModuleList = new_exits(pair.student, f"method {self.name}")
        # Once a student owns them, in a tuple, so that they do not count as the method's own as well.
        self._given: tuple[nn.ModuleList, ...] = ()

    def network(self, student: nn.Module) -> nn.Module:
        """Return the student with the exits, which are its own from now on.

        Raises:
            ValueError: The method was built from shapes alone.
            RequestError: The student has exits already.
        """
        if self.pair.student_taps is None:
            raise ValueError(f"method {self.name} needs the places of the student's stages")
        exits = self.kept_exits
        whole = NetworkWithExits(student, self.pair.student_taps.stages, exits, vote=self.config.vote)
        del self.exits
        self._given = (exits,)
        return whole

    @property
    def kept_exits(self) -> nn.ModuleList:
        """The exits, from shallow to deep, without the last one."""
        return self._given[0] if self._given else self.exits

    def exit_outputs(self, student: Outputs) -> tuple[list[Tensor], list[Tensor]]:
        """Return the embeddings and the logits of the exits but the last, from shallow to deep.

        Raises:
            ValueError: The student gives no feature maps.
        """
        if not student.maps:
            raise ValueError(f"method {self.name} needs the feature maps of the student")
        exits = [each for each in self.kept_exits if isinstance(each, Exit)]
        pairs = list(zip(exits, student.maps, strict=False))
        embeddings = [exit.features(in_full_precision(maps)) for exit, maps in pairs]
        return embeddings, [exit.fc(each) for (exit, _), each in zip(pairs, embeddings, strict=True)]

    def label_losses(self, logits: list[Tensor], batch: Batch) -> Tensor:
        """Return the sum over exits of their mean loss on the labels."""
        losses = [self.label_loss(each, batch).mean() for each in logits]
        return sum(losses[1:], losses[0])
