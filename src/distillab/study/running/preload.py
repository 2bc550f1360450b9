"""Importing this module imports what worker processes need, before they are forked from the process that did.

The first worker starts as soon as this has ended, so what few studies need is left out: torch's compiler,
which only compiled networks need, and the kernels for bfloat16 on processors without instructions for it.
"""

from __future__ import annotations

import importlib
import importlib.util

from distillab.machine import garbage_collection_paused, has_bf16_instructions

with garbage_collection_paused():
    importlib.import_module("distillab.study.running.worker")
    if has_bf16_instructions() and importlib.util.find_spec("numba") is not None:
        importlib.import_module("distillab.models.cpu_kernels.precompiled")
