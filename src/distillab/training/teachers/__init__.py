"""Teacher outputs during training: cached, live, ensembled, or mapped to other classes."""
