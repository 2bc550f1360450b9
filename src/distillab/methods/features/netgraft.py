"""Grafting: the student's blocks are trained inside the teacher, alone and then together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.adapted_layers import AdaptedConv, AdaptedLinear, Adapter
from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.models import Ensemble, InputSpec
from distillab.models.blocks import BlockNetwork, reading_layers
from distillab.models.outputs import Outputs


@method(
    "netgraft", paper="Shen et al., Progressive network grafting for few-shot knowledge distillation, 2021"
)
class NetworkGrafting(Method):
    """Network grafting: train each block of the student inside the teacher, then ever longer chains of them.

    w sum_b mean_n sum_c (z^b / |z^b| - z_t / |z_t|)^2 + a mean_n CE(p_s, y).

    z_t are the teacher's logits. For the first part of training b goes over the student's blocks, and z^b are
    the logits of the teacher with that block in the place of its own, all else fixed. Then the student's
    blocks are chained inside the teacher, first two of them, in the end all: z^b are the logits of the chain.
    Where widths differ, 1x1 adapters stand between the blocks of the two networks. They are linear and have
    no bias, so that they are merged into the layer behind them: what is evaluated and saved is an ordinary
    student. It starts from the teacher, and stages that it keeps (``keep``) are the teacher's; b goes over
    the others. The method itself copies and keeps nothing, so that the plain student starts and keeps alike.

    Of several teachers, the blocks are trained inside the one with the largest weight, on the logits of all.

    Defaults: the equal weight of both parts is the authors'; they use no labels.

    Deviations: the authors train both parts one after the other with Adam, at their own learning rates, ten
    times as high for adapters, and take the epoch that is best on the test set; here there is one recipe, and
    all blocks are trained in the same steps.

    Paper: Shen, Wang, Yin, Song and Song, "Progressive network grafting for few-shot knowledge distillation",
    AAAI 2021, equations 3 to 8.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"logits", "teacher_network"})
    transient: ClassVar[frozenset[str]] = frozenset({"_inside", "_chained", "_hooks"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            block_share: The share of training in which blocks are trained alone.
            graft_weight: w.
            ce_weight: a.
        """

        block_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
        graft_weight: Weight = 1.0
        ce_weight: Weight = 0.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.teacher_shapes_of_same_classes()
        self.adapters = nn.ModuleDict()
        self.layers = nn.ModuleList()  # those behind adapters, which the method trains
        self._inside: tuple[BlockNetwork, BlockNetwork] | None = None
        self._chained: list[Tensor] = []
        self._hooks: list[Any] = []
        self._first, self._seed = pair.kept_stages, int(torch.randint(2**31, ()))

    @classmethod
    def check_networks(cls, student: nn.Module, teacher: nn.Module, inputs: InputSpec, names: str) -> None:
        """Raise RequestError unless both networks can be cut into blocks that take each other's place."""
        for network in (student, *_members(teacher)):
            BlockNetwork.of(network, names).check(inputs, names)
        for member in _members(teacher):
            _must_match(BlockNetwork.of(student, names), BlockNetwork.of(member, names), names)

    def network(self, student: nn.Module) -> nn.Module:
        """Return the student with adapters in the layers that need them."""
        teacher = self.pair.teacher_network
        if teacher is None:
            return student
        host = BlockNetwork.of(_host(teacher), "the teacher")
        own = BlockNetwork.of(student, "the student")
        _must_match(own, host, "the student and its teacher")
        self._inside = own, host
        generator = torch.Generator().manual_seed(self._seed)
        for place, (mine, other) in enumerate(self._widths(), 1):
            if mine != other:
                self._adapt(own, place, Adapter(mine, other, generator))
        self._hooks = [student.register_forward_pre_hook(lambda *_: self._chained.clear())]
        self._hooks += [stage.register_forward_hook(self._note) for stage in own.stages]
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """Return the student with its adapters merged."""
        for hook in self._hooks:
            hook.remove()
        for path, module in list(network.named_modules()):
            if isinstance(module, AdaptedConv | AdaptedLinear):
                parent, _, name = path.rpartition(".")
                setattr(network.get_submodule(parent), name, module.merged())
        return network

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``blocks`` or ``net``."""
        name, weight = "net", self.config.graft_weight
        grafted = [student.logits]
        if self._inside and batch.inputs is not None:
            own, host = self._inside
            if batch.progress < self.config.block_share:
                name = "blocks"
                with batch.autocast():
                    grafted = list(self._alone(own, host, batch.inputs))
            elif (length := self._length(batch.progress)) < self._units:
                with batch.autocast():
                    grafted = [self._chain(host, length)]
        self._chained.clear()
        losses = [_distance(each, teacher.logits) for each in grafted]
        return {name: weight * sum(losses[1:], losses[0])}

    # -- inside ---------------------------------------------------------------------------------------------

    @property
    def _units(self) -> int:
        """The number of blocks that are grafted, the classifier among them if it has another width."""
        assert self._inside
        stages = len(self._inside[0].stages)
        return stages - self._first + self._is_adapted(stages)

    def _length(self, progress: float) -> int:
        """Return the number of blocks in the chain: from two on, each number for as long as the others."""
        lengths = range(min(2, self._units), self._units + 1)
        share = (progress - self.config.block_share) / (1 - self.config.block_share)
        return lengths[min(int(share * len(lengths)), len(lengths) - 1)]

    def _alone(self, own: BlockNetwork, host: BlockNetwork, inputs: Tensor) -> Iterator[Tensor]:
        """Go through the logits of the teacher with one block of the student each."""
        maps = [each.detach() for each in host.maps(inputs)]
        for place in range(self._first, len(own.stages)):
            self._read_teacher(place, inside=True)
            made = own.stages[place](maps[place])
            self._read_teacher(place, inside=False)
            self._chained.clear()
            yield host.after(self._widened(made, place + 1), place + 1)
        if self._is_adapted(len(own.stages)):
            self._read_teacher(len(own.stages), inside=True)
            yield own.classifier(maps[-1].mean((2, 3)))
            self._read_teacher(len(own.stages), inside=False)

    def _chain(self, host: BlockNetwork, length: int) -> Tensor:
        """Return the logits of the teacher with the first blocks of the student, of its last forward pass."""
        place = self._first + length
        return host.after(self._widened(self._chained[place - 1], place), place)

    def _note(self, _: nn.Module, __: Any, made: Tensor) -> None:
        self._chained.append(made)

    def _widened(self, maps: Tensor, place: int) -> Tensor:
        """Return the student's maps before a stage as those of the teacher."""
        return self._adapter(place).widened(maps) if self._is_adapted(place) else maps

    def _read_teacher(self, place: int, *, inside: bool) -> None:
        if self._is_adapted(place):
            self._adapter(place).inside_teacher = inside

    def _is_adapted(self, place: int) -> bool:
        return str(place) in self.adapters

    def _adapter(self, place: int) -> Adapter:
        adapter = self.adapters[str(place)]
        assert isinstance(adapter, Adapter)
        return adapter

    def _widths(self) -> Iterator[tuple[int, int]]:
        """Go through the channels after each stage, of the student and of the teacher."""
        assert self._inside
        own, host = self._inside
        for mine, other in zip(own.stages, host.stages, strict=True):
            yield _width(mine), _width(other)

    def _adapt(self, own: BlockNetwork, place: int, adapter: Adapter) -> None:
        """Put an adapter into the layers that read the maps before a stage, or before the classifier."""
        device = own.classifier.weight.device
        self.adapters[str(place)] = adapter.to(device)
        if place == len(own.stages):
            self.layers.append(own.classifier)
            setattr(own.model, own.head, AdaptedLinear(own.classifier, adapter))
            return
        stage = own.stages[place]
        maps = own.classifier.weight.new_zeros(1, _width(own.stages[place - 1]), 8, 8)
        for path in reading_layers(stage, maps):
            layer = stage.get_submodule(path)
            assert isinstance(layer, nn.Conv2d)
            self.layers.append(layer)
            changed = AdaptedConv(layer, adapter)
            if path:
                parent, _, name = path.rpartition(".")
                setattr(stage.get_submodule(parent), name, changed)
            else:
                own.stages[place] = changed


def _distance(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared distance of logits ``[N, classes]``, each row of unit length."""
    own, other = (in_full_precision(each) for each in (logits, teacher.detach()))
    difference = F.normalize(own, dim=1) - F.normalize(other, dim=1)
    return difference.square().sum(1).mean()


def _members(teacher: nn.Module) -> list[nn.Module]:
    return list(teacher.members) if isinstance(teacher, Ensemble) else [teacher]


def _host(teacher: nn.Module) -> nn.Module:
    """Return the network that blocks are trained in: of several, the one with the largest weight."""
    best = int(teacher.weights.argmax()) if isinstance(teacher, Ensemble) else 0
    return _members(teacher)[best]


def _must_match(own: BlockNetwork, host: BlockNetwork, names: str) -> None:
    """Raise RequestError if two networks have another stem or number of stages."""
    stems = [{key: value.shape for key, value in each.stem.items()} for each in (own, host)]
    if len(own.stages) != len(host.stages) or stems[0] != stems[1]:
        raise RequestError(
            "have other numbers of stages or other first layers, and no block of one can stand in the other",
            where=names,
            allowed="two networks of one family, such as vgg5_half and vgg5",
        )


def _width(stage: nn.Module) -> int:
    """Return the number of channels that a stage gives: those of its last normalization or convolution."""
    last = [each for each in stage.modules() if isinstance(each, nn.BatchNorm2d | nn.Conv2d)][-1]
    return last.num_features if isinstance(last, nn.BatchNorm2d) else last.out_channels
