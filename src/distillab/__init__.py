"""distillab: find out how a dataset decides whether knowledge distillation works, and what to do about it."""

from distillab.api import Finished, Study, report
from distillab.errors import RequestError

__all__ = ["Finished", "RequestError", "Study", "report"]
__version__ = "0.1.0"
