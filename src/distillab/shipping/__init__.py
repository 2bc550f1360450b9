"""From data to a student that can be used: chosen on val, compared with a plain student, within a budget."""

from distillab.shipping.answer import ShippingAnswer
from distillab.shipping.design import ShippingDesign, StepCosts, fitting_design
from distillab.shipping.request import ShippingRequest
from distillab.shipping.shipper import Shipper

__all__ = [
    "Shipper",
    "ShippingAnswer",
    "ShippingDesign",
    "ShippingRequest",
    "StepCosts",
    "fitting_design",
]
