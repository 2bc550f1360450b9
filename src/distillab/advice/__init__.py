"""From a dataset to a recommendation."""
