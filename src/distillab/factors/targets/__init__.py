"""Factors of the targets: how many examples there are, of which classes, and how they are labelled."""
