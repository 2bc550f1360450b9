"""What a plan rests on beside the study and its data, so that it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from distillab.canonical import JsonObject
from distillab.study.planning.plan import Plan
from distillab.training.numerics.config import NumericsConfig


@dataclass(frozen=True)
class PlanFacts:
    """What was chosen while a study was planned.

    Attributes:
        dataset: Content address of the data.
        numerics: The numerics of each network; of networks without a choice under the name "".
        choices: How they were chosen, by network, as the ledger stores it.

    Example:
        >>> facts = PlanFacts("8f0c", {"": NumericsConfig(precision="fp32")}, {})
        >>> PlanFacts.from_dict(facts.as_dict()) == facts
        True
    """

    dataset: str
    numerics: Mapping[str, NumericsConfig]
    choices: JsonObject

    @classmethod
    def of(cls, plan: Plan, dataset: str) -> PlanFacts:
        """Return the facts of a plan for the data with an address."""
        choices = {model: each.as_dict() for model, each in plan.numerics.items()}
        return cls(dataset, plan.numerics_used, choices)

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        numerics = {model: asdict(config) for model, config in self.numerics.items()}
        return {"dataset": self.dataset, "numerics": numerics, "choices": self.choices}

    @classmethod
    def from_dict(cls, values: JsonObject) -> PlanFacts:
        """Return the facts of a JSON form."""
        numerics = {model: NumericsConfig(**each) for model, each in values["numerics"].items()}
        return cls(values["dataset"], numerics, values["choices"])
