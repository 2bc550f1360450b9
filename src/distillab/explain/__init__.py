"""What a network looks at: attributions, their agreement, their faithfulness, and where they lie."""

from distillab.explain import attributions as _registered  # noqa: F401
from distillab.explain.agreement import agreement_of, pearson, ssim, top_iou, top_region
from distillab.explain.attribution import (
    Attribution,
    Maps,
    attribute,
    attribution,
    attributions,
    normalize_maps,
    require_readable,
)
from distillab.explain.faithfulness import Faithfulness, faithfulness, random_maps
from distillab.explain.localization import (
    border_area,
    border_share,
    box_area,
    box_iou,
    box_share,
    center_maps,
    pointing_game,
)
from distillab.explain.networks import BASELINE, ExplainedNetwork

__all__ = [
    "BASELINE",
    "Attribution",
    "ExplainedNetwork",
    "Faithfulness",
    "Maps",
    "agreement_of",
    "attribute",
    "attribution",
    "attributions",
    "border_area",
    "border_share",
    "box_area",
    "box_iou",
    "box_share",
    "center_maps",
    "faithfulness",
    "normalize_maps",
    "pearson",
    "pointing_game",
    "random_maps",
    "require_readable",
    "ssim",
    "top_iou",
    "top_region",
]
