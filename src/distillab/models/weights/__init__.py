"""Weight files from elsewhere: read, unwrapped and fitted to a network, or refused in one line."""

from distillab.models.weights.class_names import find_class_names
from distillab.models.weights.fitting import LoadedWeights, load_into
from distillab.models.weights.reading import StateEntry, WeightFile, read_weights

__all__ = ["LoadedWeights", "StateEntry", "WeightFile", "find_class_names", "load_into", "read_weights"]
