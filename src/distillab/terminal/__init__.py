"""What the command line prints: progress with time left, tables, outcomes. Light to import."""

from distillab.terminal.across import print_across
from distillab.terminal.advice import print_advice
from distillab.terminal.budget import budget_progress
from distillab.terminal.plan import print_plan
from distillab.terminal.printing import (
    print_begun,
    print_catalogue,
    print_comparison,
    print_outcome,
    print_profile,
    print_status,
)
from distillab.terminal.progress import load_progress, run_progress
from distillab.terminal.selftest import print_selftest
from distillab.terminal.shipping import print_shipping
from distillab.terminal.stored_files import print_repaired, print_verification

__all__ = [
    "budget_progress",
    "load_progress",
    "print_across",
    "print_advice",
    "print_begun",
    "print_catalogue",
    "print_comparison",
    "print_outcome",
    "print_plan",
    "print_profile",
    "print_repaired",
    "print_selftest",
    "print_shipping",
    "print_status",
    "print_verification",
    "run_progress",
]
