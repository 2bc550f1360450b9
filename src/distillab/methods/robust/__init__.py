"""Methods for data with rare classes, wrong labels, shortcuts or groups."""

__all__: list[str] = []
