"""Batch normalization, addition and ReLU as one operation, for training in bf16 on one CPU thread.

A reader of the networks can take :func:`norm_relu` for ``relu(norm(x) + plus)``: that is what it computes,
everywhere and always up to rounding. The rest of this package makes it faster in one case. On one thread of a
CPU with fast bfloat16 convolutions, normalizing, adding and rectifying take more than a quarter of the
training step of a small network, mostly waiting for memory; there one operation halves the wait. In float32
it was no faster than torch once all processors were busy.

- ``dispatch.py`` decides, at each call, whether the fused operation applies;
- ``fused.py`` is that operation, with its gradients;
- ``kernels.py`` is its inner loops, compiled by numba (the extra ``cpu``), without which torch is used;
- ``precompiled.py`` compiles them before worker processes are forked.
"""

from distillab.models.cpu_kernels.dispatch import norm_relu

__all__ = ["norm_relu"]
