"""From data to a student that can be used: chosen on val, compared with a plain student, within a budget."""

from distillab.shipping.answer import ShippingAnswer
from distillab.shipping.design import Costs, ShippingDesign, fitting_design
from distillab.shipping.request import ShippingRequest
from distillab.shipping.shipper import Shipper

__all__ = [
    "Costs",
    "Shipper",
    "ShippingAnswer",
    "ShippingDesign",
    "ShippingRequest",
    "fitting_design",
]
