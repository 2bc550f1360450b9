"""Images: decoding, augmentation, embedding."""
