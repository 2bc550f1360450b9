"""Should a teacher be distilled on these data? Stages from cheap to dear, an interval, and abstentions."""

from distillab.advise.adviser import Adviser
from distillab.advise.answer import Advice, EvidenceItem, NextStep, RungRow
from distillab.advise.budget import format_budget, parse_budget
from distillab.advise.conformal import group_coverage, group_p_values, group_quantile
from distillab.advise.decision import Decision, decide
from distillab.advise.posterior import GainEstimate, combine
from distillab.advise.replay import Replay, Score, replay
from distillab.advise.request import AdviceRequest, teacher_keys, with_pilot_size
from distillab.advise.what_if import WhatIf, WhatIfPoint

__all__ = [
    "Advice",
    "AdviceRequest",
    "Adviser",
    "Decision",
    "EvidenceItem",
    "GainEstimate",
    "NextStep",
    "Replay",
    "RungRow",
    "Score",
    "WhatIf",
    "WhatIfPoint",
    "combine",
    "decide",
    "format_budget",
    "group_coverage",
    "group_p_values",
    "group_quantile",
    "parse_budget",
    "replay",
    "teacher_keys",
    "with_pilot_size",
]
