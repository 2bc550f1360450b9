"""The attributions, one per file. Importing this package registers them."""

from distillab.explain.attributions import grad_cam, integrated_gradients, lime, occlusion

__all__ = ["grad_cam", "integrated_gradients", "lime", "occlusion"]
