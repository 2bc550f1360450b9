"""Methods that learn how the images of a batch, or of a memory, lie to one another."""

from distillab.methods.relations import cc, crd, infonce, multilayer_pkt, pkt, rkd, sp

__all__ = ["cc", "crd", "infonce", "multilayer_pkt", "pkt", "rkd", "sp"]
