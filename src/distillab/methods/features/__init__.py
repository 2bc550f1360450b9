"""Methods that learn from the teacher's feature maps, or from what is computed of them."""

from distillab.methods.features import (
    ab,
    attention_transfer,
    cat_kd,
    cosine_guided,
    fitnet,
    fsp,
    ft,
    mgd,
    nst,
    ofd,
    reviewkd,
    semckd,
    simkd,
    srrl,
    vid,
)

__all__ = [
    "ab",
    "attention_transfer",
    "cat_kd",
    "cosine_guided",
    "fitnet",
    "fsp",
    "ft",
    "mgd",
    "nst",
    "ofd",
    "reviewkd",
    "semckd",
    "simkd",
    "srrl",
    "vid",
]
