"""The race's best method on half of the data, to see how the gain moves with their amount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from distillab.advise.pilot import PilotArm
from distillab.advise.race_plan import Rung
from distillab.advise.race_study import RaceSetting, run_rung
from distillab.data.dataset import Dataset
from distillab.data.resplit import merge_splits, resplit
from distillab.study.running.deadline import SecondsClock

SHARE = 0.5
_KEY = 0xAF


@dataclass(frozen=True, eq=False)
class HalfData:
    """The gain with half of the data, beside that with all of them at the same length.

    Attributes:
        half: The gain with half of the data.
        whole: The gain with all of them, from the same number of steps.
    """

    half: PilotArm
    whole: PilotArm


def halved(dataset: Dataset) -> Dataset:
    """Return a pilot's data with half of the train and val examples of each class; judged ones stay.

    Example:
        >>> from distillab.advise.pilot_data import PilotData
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> pilot = PilotData.of(load_dataset(Digits()), Digits()).dataset
        >>> half = halved(pilot)
        >>> 0.4 < (len(half.train) + len(half.val)) / (len(pilot.train) + len(pilot.val)) < 0.6
        True
        >>> half.eval["test"] is pilot.eval["test"]
        True
    """
    whole = merge_splits([dataset.train, dataset.val])
    unsplit = replace(dataset, train=whole.select([]), val=whole)
    kept = resplit(unsplit, SHARE, _KEY).val
    share = len(dataset.val) / len(whole)
    return resplit(replace(dataset, train=kept.select([]), val=kept), share, _KEY + 1)


def run_half_data(
    setting: RaceSetting,
    whole: PilotArm,
    full_steps: int,
    *,
    deadline: float,
    on_share: Callable[[float], None],
    clock: SecondsClock,
) -> HalfData | None:
    """Race the best method and the plain student on half of the data; None without two pairs.

    Args:
        setting: The setting of the race.
        whole: What the race found with all of the data.
        full_steps: Steps of a full training.
        deadline: When to stop, on the clock.
        on_share: Called with the share that is finished.
        clock: Returns seconds.
    """
    smaller = replace(
        setting, dataset=halved(setting.dataset), folder=setting.folder / "half", full_steps=full_steps
    )
    rung = Rung(whole.pairs, whole.share)
    result = run_rung(smaller, rung, [whole.method], deadline=deadline, on_share=on_share, clock=clock)
    arm = result.arms.get(whole.method)
    return HalfData(arm, whole) if arm is not None and arm.pairs >= 2 else None
