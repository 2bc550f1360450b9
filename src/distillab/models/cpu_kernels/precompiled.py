"""Importing this module compiles the kernels, or reads their machine code, before processes are forked.

The first time after installation it takes about three seconds. The kernels are called directly, since a
process that has used torch's gradients must not be forked.
"""

from __future__ import annotations

import numpy as np

from distillab.models.cpu_kernels import kernels

_vectors = np.ones((4, 1), np.float32)
_rows, _of_vectors = np.zeros((2, 1), np.uint16), np.empty((2, 1), np.float32)
kernels.batch_statistics(_rows, *_vectors, 0.1, 1e-5)
kernels.forward(_rows, None, *_vectors, _rows)
kernels.forward(_rows, _rows, *_vectors, _rows)
kernels.backward(_rows, _rows, *_vectors, _of_vectors, _rows)
kernels.backward_with_plus(_rows, _rows, *_vectors, _of_vectors, _rows, _rows, _rows)
