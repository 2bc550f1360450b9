"""Planning: a study expanded on its data into content-addressed jobs and the cells of its design."""

from distillab.study.planning.conditions import PRIMARY, Condition, Conditions, Roles
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.outline import Outline, make_plan, tuned_plan
from distillab.study.planning.pace import PlannedMaps
from distillab.study.planning.plan import Plan
from distillab.study.planning.summary import PlanSummary, summarize_plan

__all__ = [
    "PRIMARY",
    "Condition",
    "Conditions",
    "Outline",
    "Plan",
    "PlanSummary",
    "PlannedMaps",
    "Roles",
    "given_teacher",
    "make_plan",
    "summarize_plan",
    "tuned_plan",
]
