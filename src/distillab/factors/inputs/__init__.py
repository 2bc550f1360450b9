"""Factors of the inputs: what an example looks like, and how closely it resembles others."""
