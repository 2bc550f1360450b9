"""Precision, memory format, compilation and device, and how the fastest is chosen."""
