"""What an example is: how it is decoded, stored, normalized, augmented, embedded and shown."""
