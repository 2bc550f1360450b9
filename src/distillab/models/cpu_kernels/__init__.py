"""Fused normalization and ReLU kernels for bf16 on one CPU thread."""
