"""Images come in: sources, decoding, duplicates, splits, and the sets that everything else works on."""
