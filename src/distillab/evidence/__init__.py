"""From finished runs to conclusions: gains with intervals, verdicts, trends, harms, an answer in words."""

from distillab.evidence.answer import Answer, summarize
from distillab.evidence.conclusions import Conclusions, compute_conclusions
from distillab.evidence.curves import Curve, Trend, compute_curves, fit_trend
from distillab.evidence.effects import compute_effects
from distillab.evidence.gains import Gain, grid_floor, guarded_interval, paired_gain, sign_flip_p
from distillab.evidence.harms import ClassHarm, class_harms
from distillab.evidence.level_effects import compute_level_effects
from distillab.evidence.pairs import Row
from distillab.evidence.power import detectable_effect, paired_power, pairs_needed
from distillab.evidence.results import Tables, write_tables
from distillab.evidence.schema import effects_schema, level_effects_schema, read_rows, results_schema
from distillab.evidence.sequential import Look, look_plan
from distillab.evidence.verdicts import Verdict, benjamini_hochberg, holm, judge

__all__ = [
    "Answer",
    "ClassHarm",
    "Conclusions",
    "Curve",
    "Gain",
    "Look",
    "Row",
    "Tables",
    "Trend",
    "Verdict",
    "benjamini_hochberg",
    "class_harms",
    "compute_conclusions",
    "compute_curves",
    "compute_effects",
    "compute_level_effects",
    "detectable_effect",
    "effects_schema",
    "fit_trend",
    "grid_floor",
    "guarded_interval",
    "holm",
    "judge",
    "level_effects_schema",
    "look_plan",
    "paired_gain",
    "paired_power",
    "pairs_needed",
    "read_rows",
    "results_schema",
    "sign_flip_p",
    "summarize",
    "write_tables",
]
