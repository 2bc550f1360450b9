"""Which outputs of teachers are stored: as many as the budget of a study allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_method import PlannedMethod


@dataclass(frozen=True)
class Stream:
    """What is stored of one kind of teacher for one transfer set.

    Attributes:
        methods: The labels of the methods that learn from it.
        kept: The outputs that are stored, in alphabetical order.
        bytes: The most that they can take.
        strong: Whether they are stored for strong views as well.
    """

    methods: frozenset[str] = frozenset()
    kept: tuple[str, ...] = ()
    bytes: int = 0
    strong: bool = False


NO_STREAM = Stream()


class Storage:
    """Which methods learn from stored outputs, if no stream may take more than ``limit`` bytes.

    Methods that need whole feature maps are never served from stored outputs. The others join a stream as
    long as what they need together fits, those that need little first.
    """

    def __init__(self, context: PlanContext, limit: int) -> None:
        self.limit = limit
        storable = [m for m in context.every_method if m.can_be_stored and _pays(context, m.teacher)]
        self._storable = sorted(storable, key=lambda method: (method.views, len(method.storable_needs)))
        self._kinds = sorted({method.teacher for method in storable})
        self._known: dict[Hashable, dict[str, Stream]] = {}

    def streams(self, pairing: Pairing) -> dict[str, Stream]:
        """Return the streams of a pairing, by kind of teacher."""
        key = self.stream_class(pairing)
        if key not in self._known:
            self._known[key] = {
                kind: stream for kind in self._kinds if (stream := self._stream(pairing, kind)).methods
            }
        return self._known[key]

    def is_stored(self, pairing: Pairing, method: PlannedMethod) -> bool:
        """Return True if a method learns from stored outputs."""
        return method.label in self.streams(pairing).get(method.teacher, NO_STREAM).methods

    def stream_class(self, pairing: Pairing) -> Hashable:
        """Return what the streams of a pairing follow from: pairings that agree in it have equal streams."""
        costs = tuple((pairing.teacher_costs(kind), pairing.teacher_model(kind)) for kind in self._kinds)
        transfer, views = pairing.sets.transfer.n, pairing.viewed.views_per_image
        return pairing.student, transfer, views, pairing.replicate.n_unlabelled, costs

    def _stream(self, pairing: Pairing, kind: str) -> Stream:
        methods, kept, strong = list[str](), frozenset[str](), False
        for method in self._storable:
            together, both = kept | method.storable_needs, strong or method.views > 1
            if method.teacher == kind and pairing.stream_bytes(together, kind, strong=both) <= self.limit:
                methods.append(method.label)
                kept, strong = together, both
        size = pairing.stream_bytes(kept, kind, strong=strong) if kept else 0
        return Stream(frozenset(methods), tuple(sorted(kept)), size, strong)


def choose_storage(context: PlanContext, pairings: Callable[[], Iterable[Pairing]], used: int = 0) -> Storage:
    """Choose which outputs of teachers are stored, so that all together fit the budget of the study.

    Each stream may take the whole budget at first. Where they do not fit together, the smallest are stored,
    and those that begin to exceed it, with all that are as large, make do with less or are computed live.

    Args:
        context: The study on its data.
        pairings: Goes through all pairings of the study.
        used: Bytes of the budget that are used already.
    """
    budget = max(0, context.spec.teacher.outputs.budget - used)
    storage = Storage(context, budget)
    # Most studies fit by far, even if streams that pairings share are counted for each.
    if sum(stream.bytes for pairing in pairings() for stream in storage.streams(pairing).values()) <= budget:
        return storage
    classes = _StreamClasses()
    for pairing in pairings():
        classes.add(storage, pairing)
    sizes = classes.sizes(storage)
    while sum(size * count for size, count in sizes.items()) > budget:
        storage = Storage(context, _first_too_large(sizes, budget) - 1)
        sizes = classes.sizes(storage)
    return storage


@dataclass
class _StreamClasses:
    """The distinct streams of a study, counted by what their size follows from."""

    examples: dict[Hashable, Pairing] = field(default_factory=dict)
    counts: Counter[tuple[Hashable, str]] = field(default_factory=Counter)
    seen: set[Hashable] = field(default_factory=set)

    def add(self, storage: Storage, pairing: Pairing) -> None:
        """Count the streams of a pairing, unless an earlier pairing shares them."""
        name = storage.stream_class(pairing)
        self.examples.setdefault(name, pairing)
        for kind in storage.streams(pairing):
            key = pairing.outputs_key(kind, streams=True)
            if key not in self.seen:
                self.seen.add(key)
                self.counts[name, kind] += 1

    def sizes(self, storage: Storage) -> Counter[int]:
        """Return how many streams take how many bytes under another limit."""
        sizes: Counter[int] = Counter()
        for (name, kind), count in self.counts.items():
            stream = storage.streams(self.examples[name]).get(kind, NO_STREAM)
            sizes[stream.bytes] += count
        return sizes


def _first_too_large(sizes: Counter[int], budget: int) -> int:
    """Return the size at which streams, the smallest first, exceed a budget."""
    total = 0
    for size in sorted(sizes):
        total += size * sizes[size]
        if total > budget:
            return size
    raise ValueError("the streams fit the budget")


def _pays(context: PlanContext, kind: str) -> bool:
    """Return True if it pays to store the outputs of a kind of teacher: a generation teaches one student."""
    return kind != "none" and not (kind == "study" and context.spec.teacher.generations > 1)
