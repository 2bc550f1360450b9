"""A study expanded on its data into a graph of content-addressed jobs."""
