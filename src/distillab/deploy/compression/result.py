"""What a compression found: its arms, what distillation is worth at each sparsity, and what to ship."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.deploy.compression.arms import CompressionArm, PruningKind, arm_rows
from distillab.evidence.verdicts import Verdict, verdict_of
from distillab.printable import counted

ESTIMAND = (
    "Differences are those of the accuracy on test from the network as given. Intervals (95 %) cover other "
    "seeds of the fine-tuning and other test examples of the kind; for arms without fine-tuning, other test "
    "examples. They hold for this network, not for others of its kind, and are not corrected for the number "
    "of arms."
)
CLAIMED_RATIO = 3.0
"""How much smaller than the original network Musa et al., IJCISIM 2025, state for pruning, int8 and
distillation together, at equal accuracy."""


@dataclass(frozen=True)
class RecoveryGain:
    """What distilled fine-tuning gains over plain fine-tuning of the same pruned weights.

    Attributes:
        kind: How the network was pruned; None for the network as given.
        sparsity: The share of weights that was removed.
        after: By which fine-tuning the weights of earlier stages were recovered; empty at the first stage.
        plain: Mean accuracy on test of plain fine-tuning.
        distilled: That of distilled fine-tuning.
        gain: Mean paired difference.
        ci_low: Lower end of its confidence interval.
        ci_high: Upper end.
        n_pairs: Number of pairs.
        verdict: ``helps``, ``harms``, ``equivalent`` or ``undecided``.

    Example:
        >>> RecoveryGain("structured", 0.5, "", 0.7, 0.72, 0.02, 0.01, 0.03, 5, "helps").as_dict()["gain"]
        0.02
    """

    kind: PruningKind | None
    sparsity: float
    after: str
    plain: float
    distilled: float
    gain: float
    ci_low: float
    ci_high: float
    n_pairs: int
    verdict: Verdict

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        ends = {"ci_low": self.ci_low, "ci_high": self.ci_high}
        return {
            "kind": self.kind,
            "sparsity": self.sparsity,
            "after": self.after or None,
            "plain_accuracy": self.plain,
            "distilled_accuracy": self.distilled,
            "gain": self.gain,
            **{key: value if math.isfinite(value) else None for key, value in ends.items()},
            "n_pairs": self.n_pairs,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """The result of a compression.

    Attributes:
        folder: Its folder.
        network: The name of the network.
        dataset: The name of the data.
        teacher: What taught: ``the unpruned network``, or the name of another one.
        arms: All arms; the network as given is the first.
        recovery: Distilled against plain fine-tuning of the same weights.
        winner: The arm to ship; None if none is smaller and accurate enough.
        model: The exported model of the winner; None without one.
        max_drop: Points of accuracy on val that the winner may lose.
        margin: Largest difference of accuracy that makes no difference in practice, a fraction.
        settings: How networks were fine-tuned, quantized and timed, for the report.
        n_test: Number of test examples.
        failed: Number of runs that failed.
        seconds: How long this call took.

    Example:
        >>> Compressed.__dataclass_fields__["winner"].type
        'CompressionArm | None'
    """

    folder: Path
    network: str
    dataset: str
    teacher: str
    arms: tuple[CompressionArm, ...]
    recovery: tuple[RecoveryGain, ...]
    winner: CompressionArm | None
    model: Path | None
    max_drop: float
    margin: float
    settings: Mapping[str, str] = field(default_factory=dict)
    n_test: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def given(self) -> CompressionArm:
        """The network as given."""
        return self.arms[0]

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    def ratio(self, arm: CompressionArm) -> float:
        """Return how many times smaller the file of an arm is than that of the network as given."""
        assert arm.cost is not None and self.given.cost is not None
        return self.given.cost.size / arm.cost.size

    def verdict(self, arm: CompressionArm) -> Verdict:
        """Return the verdict on the accuracy of an arm against the network as given."""
        assert arm.difference is not None
        return verdict_of(arm.difference.ci_low, arm.difference.ci_high, self.margin, True)

    @property
    def claimed(self) -> CompressionArm | None:
        """The arm with the best accuracy on val of those at least three times smaller; None without one."""
        small = [arm for arm in self.arms if arm.cost and self.ratio(arm) >= CLAIMED_RATIO]
        return max(small, key=lambda arm: arm.val, default=None)

    @property
    def headline(self) -> str:
        """What to ship, in one sentence."""
        if self.winner is None:
            return (
                f"Ship {self.network} as it is: no arm is smaller and loses at most {self.max_drop:g} "
                f"{_points(self.max_drop)} on val."
            )
        return (
            f"Ship {self.winner.label}: {self.ratio(self.winner):.1f} times smaller, accuracy on test "
            f"{self.change_text(self.winner)}."
        )

    def change_text(self, arm: CompressionArm) -> str:
        """Return how the accuracy of an arm differs from that of the network as given, in words."""
        gain = arm.difference
        assert gain is not None
        ends = f"{100 * gain.ci_low:+.1f} to {100 * gain.ci_high:+.1f}"
        interval = f" ({ends})" if math.isfinite(gain.ci_low) and math.isfinite(gain.ci_high) else ""
        return f"{100 * gain.gain:+.1f} points{interval}".replace("-", "−")

    @property
    def sentences(self) -> tuple[str, ...]:
        """What stands behind the headline, most important first."""
        return tuple(filter(None, (self._claim_sentence, self._recovery_sentence, self._zeros_sentence)))

    @property
    def _claim_sentence(self) -> str:
        arm = self.claimed
        if arm is None:
            best = max(self.ratio(each) for each in self.arms)
            return (
                f"No arm is {CLAIMED_RATIO:g} times smaller than the network as given; the smallest file is "
                f"{best:.1f} times smaller."
            )
        verdict = self.verdict(arm)
        equal = {
            "equivalent": f"its accuracy is equal within {100 * self.margin:g} {_points(100 * self.margin)}",
            "helps": "it is more accurate",
            "harms": "its accuracy is not equal",
            "undecided": "whether its accuracy is equal is undecided",
        }[verdict]
        return (
            f"Three times smaller at equal accuracy: of the arms that are at least {CLAIMED_RATIO:g} times "
            f"smaller, {arm.label} is the best on val ({self.ratio(arm):.1f} times smaller); on test it "
            f"differs by {self.change_text(arm)}: {equal}."
        )

    @property
    def _recovery_sentence(self) -> str:
        pruned = [each for each in self.recovery if each.kind]
        if not pruned:
            return ""
        counts = {name: sum(each.verdict == name for each in pruned) for name in ("helps", "harms")}
        rest = len(pruned) - sum(counts.values())
        return (
            "Distilled against plain fine-tuning of the same pruned weights, "
            f"{counted(len(pruned), 'comparison')}: distillation helps in {counts['helps']}, harms in "
            f"{counts['harms']}, and in {rest} makes no difference or is undecided."
        )

    @property
    def _zeros_sentence(self) -> str:
        if not any(arm.kind == "unstructured" for arm in self.arms):
            return ""
        return (
            "Zeros (unstructured pruning) make neither the file nor the latency smaller; only the file "
            "compressed by gzip is."
        )

    @property
    def statement(self) -> str:
        """What a model card states of the compression, as Markdown."""
        lines = ["## Compression", "", self.headline, ""]
        lines += [f"- {sentence}" for sentence in self.sentences]
        lines += [
            "",
            "| arm | test accuracy | difference | KB | KB gzip | MACs | p50 ms |",
            "|---|---|---|---|---|---|---|",
        ]
        for arm in self.arms:
            cost = arm.cost
            assert cost is not None
            cells = (
                arm.label,
                f"{100 * arm.test:.1f} %",
                self.change_text(arm),
                f"{cost.size / 1000:.0f}",
                f"{cost.gzip_size / 1000:.0f}",
                f"{cost.macs:,}",
                f"{cost.p50_ms:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", ESTIMAND]
        return "\n".join(lines)

    def as_dict(self) -> JsonObject:
        """Return the JSON form, which ``answer.json`` holds."""
        winner = self.winner
        return {
            "ship": winner.label if winner else None,
            "headline": self.headline,
            "sentences": list(self.sentences),
            "artifact": str(self.model) if self.model else None,
            "ratio": self.ratio(winner) if winner else 1.0,
            "difference": winner.difference.gain if winner and winner.difference else 0.0,
            "network": self.network,
            "dataset": self.dataset,
            "teacher": self.teacher,
            "max_drop": self.max_drop,
            "n_test": self.n_test,
            "failed": self.failed,
            "settings": dict(self.settings),
            "arms": arm_rows(self.arms),
            "recovery": [each.as_dict() for each in self.recovery],
            "report": str(self.report),
            "seconds": self.seconds,
        }


def _points(number: float) -> str:
    return "point" if number == 1 else "points"
