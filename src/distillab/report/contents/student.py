"""What the page of a shipped student shows: photographs, confusions, reliability and costs."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.profile.measure import Gallery


@dataclass(frozen=True)
class Confusion:
    """How often examples of one class are predicted as another.

    Attributes:
        label: The class.
        predicted: The predicted class.
        plain: Test examples of the plain student, of the same seed.
        distilled: Those of the distilled student.

    Example:
        >>> Confusion("cat", "dog", plain=9, distilled=4).change
        -5
    """

    label: str
    predicted: str
    plain: int
    distilled: int

    @property
    def change(self) -> int:
        """How many more there are after distillation."""
        return self.distilled - self.plain


@dataclass(frozen=True)
class ReliabilityCurve:
    """How often a network is right, by how confident it is.

    Attributes:
        name: The network.
        confidence: Mean confidence per bin, of the bins that are not empty.
        accuracy: Share of right predictions per bin.
        counts: Test examples per bin.

    Example:
        >>> ReliabilityCurve("plain", (0.6, 0.9), (0.5, 0.9), (10, 90)).counts
        (10, 90)
    """

    name: str
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Tried:
    """A network that was tried, with what it costs and what it reaches.

    Attributes:
        name: The network and how it was trained.
        milliseconds: Median latency of one example.
        score: Its mean score on test.
        params: Number of parameters.
        shipped: Whether it is the one that is shipped.
    """

    name: str
    milliseconds: float
    score: float
    params: int
    shipped: bool = False


@dataclass(frozen=True)
class StudentView:
    """What the page shows beside the answer.

    Attributes:
        galleries: Test photographs that teacher and student judge differently.
        confusions: The pairs of classes whose confusion changed most, the largest change first.
        reliability: Of the plain and the distilled student, and of the teacher.
        tried: Costs and scores.
        seed: The seed whose students are shown.

    Example:
        >>> StudentView((), (), (), (), 0).seed
        0
    """

    galleries: tuple[Gallery, ...]
    confusions: tuple[Confusion, ...]
    reliability: tuple[ReliabilityCurve, ...]
    tried: tuple[Tried, ...]
    seed: int
