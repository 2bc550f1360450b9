"""A test of the statistics on trained networks: whether intervals and verdicts are right often enough."""

from distillab.selftest.lab import Lab, LabSize, train_lab
from distillab.selftest.selftest import SelfTest, run_selftest
from distillab.selftest.studies import Line, measure_lab

__all__ = ["Lab", "LabSize", "Line", "SelfTest", "measure_lab", "run_selftest", "train_lab"]
