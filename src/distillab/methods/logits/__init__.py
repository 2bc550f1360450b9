"""Methods that learn from the teacher's logits."""

from distillab.methods.logits import (
    bernoulli_kd,
    ctkd,
    dist,
    dkd,
    kd,
    logit_mse,
    logit_standardisation,
    mft,
    mlkd,
    nkd,
    ofa,
    topk_kd,
    wsld,
)

__all__ = [
    "bernoulli_kd",
    "ctkd",
    "dist",
    "dkd",
    "kd",
    "logit_mse",
    "logit_standardisation",
    "mft",
    "mlkd",
    "nkd",
    "ofa",
    "topk_kd",
    "wsld",
]
