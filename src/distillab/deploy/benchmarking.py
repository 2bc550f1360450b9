"""Times of exported models on this machine: latency, first pass, throughput, bytes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Items
from distillab.deploy.environment import environment_facts
from distillab.deploy.graph import graph_shape
from distillab.deploy.latency import Latency, time_in_turn
from distillab.deploy.loaded import LoadedModel, load_model
from distillab.deploy.tracking_speed import model_pass
from distillab.errors import RequestError

MOST_BATCH = 4096


@dataclass(frozen=True)
class ModelBenchmark:
    """The times of one model.

    Attributes:
        model: The model file.
        bytes: Its size.
        load_ms: Time in which it was opened, in milliseconds.
        latency: Times of forward passes, by batch size.
        following: Times of network and tracker together, frame by frame; None if it was not measured.

    Example:
        >>> ModelBenchmark("model.onnx", 1200, 3.0, (Latency(1, 2.0, 1.0, 1.5, 100),)).latency[0].p50
        1.0
    """

    model: str
    bytes: int
    load_ms: float
    latency: tuple[Latency, ...]
    following: Latency | None = None

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "model": self.model,
            "bytes": self.bytes,
            "load_ms": self.load_ms,
            "latency": [each.as_dict() for each in self.latency],
            **({} if self.following is None else {"following": self.following.as_dict()}),
        }


@dataclass(frozen=True)
class Benchmark:
    """The times of some models, measured in turn.

    Attributes:
        models: One entry per model.
        environment: CPU, threads and versions.

    Example:
        >>> Benchmark((), environment_facts()).as_dict()["models"]
        []
    """

    models: tuple[ModelBenchmark, ...]
    environment: JsonObject

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {"models": [each.as_dict() for each in self.models], **self.environment}


def benchmark_models(
    paths: Sequence[str | Path],
    *,
    batch: int = 32,
    threads: int | None = None,
    seconds: float = 2.0,
    frames: str | Path | None = None,
) -> Benchmark:
    """Time exported models on this CPU, several of them in turn, from items to probabilities.

    Decoding of files is not part of it. The first pass, which prepares memory, is reported by itself.

    Args:
        paths: Folders of exported models, or model files.
        batch: The larger batch size; the smaller one is 1.
        threads: Compute threads; None for those of torch.
        seconds: Time of all counted passes at each batch size, about.
        frames: A folder of frames, by which networks for tracking are also timed with their tracker; None
            for none.

    Raises:
        RequestError: There is no such model, a number is not accepted, or there are frames for a model that
            follows no objects.

    Example:
        >>> benchmark_models(["missing"], batch=0)
        Traceback (most recent call last):
        distillab.errors.RequestError: --batch: 0 is not accepted (allowed: 1 to 4096)
    """
    if not 1 <= batch <= MOST_BATCH:
        raise RequestError(f"{batch} is not accepted", where="--batch", allowed=f"1 to {MOST_BATCH}")
    if not paths:
        raise RequestError("there is no model", where="MODEL", allowed="one or several exported models")
    before = torch.get_num_threads()
    threads = threads or before
    torch.set_num_threads(threads)
    try:
        loaded = [_timed_load(path, threads) for path in paths]
        times: list[list[Latency]] = [[] for _ in loaded]
        for size in dict.fromkeys((1, batch)):
            passes = {
                str(place): partial(model.engine.outputs, _noise(model, size))
                for place, (model, _) in enumerate(loaded)
            }
            found = time_in_turn(passes, size, seconds=seconds)
            for place, each in found.items():
                times[int(place)].append(each)
        following = _following([model for model, _ in loaded], frames, seconds)
    finally:
        torch.set_num_threads(before)
    models = [
        ModelBenchmark(str(model.path), model.path.stat().st_size, load_ms, tuple(own), whole)
        for (model, load_ms), own, whole in zip(loaded, times, following, strict=True)
    ]
    return Benchmark(tuple(models), environment_facts(threads))


def _following(
    models: Sequence[LoadedModel], frames: str | Path | None, seconds: float
) -> list[Latency | None]:
    """Return the times of each network and its tracker, frame by frame."""
    if frames is None:
        return [None] * len(models)
    passes = {str(place): model_pass(model, frames) for place, model in enumerate(models)}
    return list(time_in_turn(passes, 1, seconds=seconds).values())


def _timed_load(path: str | Path, threads: int) -> tuple[LoadedModel, float]:
    started = time.perf_counter()
    model = load_model(path, threads=threads)
    return model, 1000 * (time.perf_counter() - started)


def _noise(model: LoadedModel, count: int) -> Items:
    rng = np.random.default_rng(0)
    shape = (count, *graph_shape(model.description))
    if model.description.modality == IMAGE:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(np.float32)
