"""The tracker and the metrics of tracks, on worlds whose answer is known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from distillab.data.boxes import ignored
from distillab.data.tracks import Tracks
from distillab.sources.drawn_tracks import DrawnSequence, DrawnTracks
from distillab.sources.mot import Mot
from distillab.tasks.tracker import (
    BoxFilter,
    FoundObjects,
    ObjectTracker,
    TrackedObjects,
    TrackerSettings,
    assigned_pairs,
    follow_objects,
)
from distillab.tasks.tracking_metrics import TRACKING_COLUMNS, trackeval_metrics, tracking_metrics
from support.mot_folders import write_sequence
from support.tracker_worlds import disturbed, found_in

WORLD = DrawnTracks(frames=60, walkers=5, resolution=96)
STANDING = WORLD.model_copy(update={"camera": 0.0})
ONE_LOOK = np.ones((1, 1))


def targets_of(sequence: DrawnSequence) -> Tracks:
    return Tracks.of([[(0, *each.box, each.identity) for each in objects] for objects in sequence.objects], 1)


def walk(*places: float | None, confidence: float = 1.0) -> list[FoundObjects]:
    """Return one walker, 10 pixels wide, at these places; where there is None, it is not found."""
    return [
        FoundObjects(time, np.empty((0, 4)), np.empty(0), np.empty((0, 1)))
        if place is None
        else FoundObjects(time, np.array([[place, 0.0, place + 10, 20.0]]), np.full(1, confidence), ONE_LOOK)
        for time, place in enumerate(places)
    ]


def identities(frames: list[FoundObjects], chosen: TrackerSettings | None = None) -> list[list[int]]:
    return [each.identities.tolist() for each in follow_objects(frames, chosen)]


@pytest.mark.parametrize("number", range(4))
def test_perfect_detections_are_perfect_tracks(number: int) -> None:
    # Walkers cross, are covered, and in two of these sequences leave the frame and come back.
    sequence = STANDING.drawn("test", number)
    chosen = TrackerSettings(patience=60)
    found = tracking_metrics(follow_objects(found_in(sequence), chosen), targets_of(sequence))
    assert found["mota"] == pytest.approx(1) and found["id_switches"] == 0
    assert found["idf1"] == pytest.approx(1) and found["hota"] == pytest.approx(1)


def test_walkers_who_look_alike_are_separated_by_their_way() -> None:
    sequence = STANDING.drawn("test", 0)
    found = tracking_metrics(follow_objects(found_in(sequence, alike=True)), targets_of(sequence))
    assert found["mota"] > 0.97 and found["idf1"] > 0.85


def test_before_a_moving_camera_only_those_who_come_back_are_taken_for_others() -> None:
    for number in range(4):
        sequence = WORLD.drawn("test", number)
        returns = 0
        for walker in range(WORLD.walkers):
            seen = [
                time
                for time, objects in enumerate(sequence.objects)
                if walker in [each.identity for each in objects]
            ]
            returns += sum(after - before > 1 for before, after in pairwise(seen))
        found = tracking_metrics(follow_objects(found_in(sequence)), targets_of(sequence))
        objects = sum(map(len, sequence.objects))
        assert found["id_switches"] * objects <= returns and found["mota"] > 0.97


def test_an_occluded_walker_keeps_its_identity() -> None:
    way = [4.0 * time if not 5 <= time < 12 else None for time in range(20)]
    assert identities(walk(*way)) == [[] if place is None else [0] for place in way]


def test_a_walker_who_is_away_for_too_long_is_another_one() -> None:
    way = [0.0, 0.0, None, None, None, 0.0]
    assert identities(walk(*way), TrackerSettings(patience=2)) == [[0], [0], [], [], [], [1]]
    assert identities(walk(*way), TrackerSettings(patience=4)) == [[0], [0], [], [], [], [0]]


def test_a_frame_that_is_missing_is_time_that_passes() -> None:
    frames = walk(*(6.0 * time for time in range(20)))
    missing = {8, 11, 12, 15}
    assert identities([each for each in frames if each.time not in missing]) == [[0]] * 16


def test_unsure_detections_continue_tracks_and_begin_none() -> None:
    sure, unsure = walk(0.0, 1.0, 2.0), walk(0.0, 1.0, 2.0, confidence=0.2)
    assert identities(unsure) == [[], [], []]
    assert identities([sure[0], unsure[1], sure[2]]) == [[0], [0], [0]]
    too_unsure = walk(0.0, 1.0, 2.0, confidence=0.05)
    assert identities([sure[0], too_unsure[1]]) == [[0], []]


@pytest.mark.parametrize("swapped", [False, True])
def test_embeddings_decide_where_two_walkers_meet(swapped: bool) -> None:
    looks = np.eye(2)
    apart = np.array([[0.0, 0.0, 10.0, 20.0], [8.0, 0.0, 18.0, 20.0]])
    together = np.array([[4.0, 0.0, 14.0, 20.0]] * 2)
    after = looks[::-1] if swapped else looks
    frames = [FoundObjects(0, apart, np.ones(2), looks), FoundObjects(1, together, np.ones(2), after)]
    assert identities(frames) == [[0, 1], [1, 0] if swapped else [0, 1]]


@given(st.lists(st.tuples(st.floats(0, 80), st.floats(0.1, 1)), max_size=8), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_no_identity_occurs_twice_in_a_frame(places: list[tuple[float, float]], length: int) -> None:
    boxes = np.array([[x, x / 2, x + 8, x / 2 + 16] for x, _ in places]).reshape(-1, 4)
    confidences = np.array([confidence for _, confidence in places])
    looks = np.ones((len(places), 1))
    frames = [FoundObjects(time, boxes + time, confidences, looks) for time in range(length)]
    for found in identities(frames):
        assert len(set(found)) == len(found) <= len(places)


def test_pairs_that_are_not_allowed_are_not_made() -> None:
    scores = np.array([[0.9, 0.8], [0.7, 0.0]])
    rows, columns = assigned_pairs(scores, np.array([[True, False], [True, False]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_the_filter_follows_a_constant_velocity_and_becomes_surer() -> None:
    made = BoxFilter(np.array([0.0, 0.0, 10.0, 20.0]))
    far = made.distances(np.array([[30.0, 0.0, 40.0, 20.0]]))[0]
    for step in range(1, 40):
        made.predict(1)
        made.update(np.array([3.0 * step, 0.0, 3.0 * step + 10, 20.0]))
    assert made.mean[0, 1] == pytest.approx(3, abs=0.05)
    made.predict(1)
    assert made.box[0] == pytest.approx(120, abs=0.5)
    assert made.distances(np.array([[150.0, 0.0, 160.0, 20.0]]))[0] > far


def test_metrics_of_a_track_that_is_cut_in_two_are_those_by_hand() -> None:
    box = (0, 0, 4, 8)
    targets = Tracks.of([[(0, *box, 5)]] * 4, 1)
    found = [TrackedObjects(np.array([number]), np.array([box], dtype=float)) for number in (0, 0, 1, 1)]
    measured = tracking_metrics(found, targets)
    # One switch among four objects; the longer half of one identity; DetA 1, AssA 2 / (2 + 2).
    assert measured["mota"] == pytest.approx(0.75) and measured["id_switches"] == pytest.approx(0.25)
    assert measured["idf1"] == pytest.approx(2 * 2 / (4 + 4))
    assert measured["deta"] == pytest.approx(1) and measured["assa"] == pytest.approx(0.5)
    assert measured["hota"] == pytest.approx(0.5**0.5)


def test_what_is_not_counted_is_neither_to_be_found_nor_a_mistake() -> None:
    targets = Tracks.of([[(0, 0, 0, 4, 8, 1), (ignored(0), 20, 0, 24, 8, 2)]] * 3, 1)
    boxes = np.array([[0.0, 0, 4, 8], [20.0, 0, 24, 8]])
    both = [TrackedObjects(np.array([0, 1]), boxes)] * 3
    one = [TrackedObjects(np.array([0]), boxes[:1])] * 3
    assert tracking_metrics(both, targets) == tracking_metrics(one, targets)
    assert tracking_metrics(one, targets)["mota"] == 1


def test_sequences_are_measured_apart() -> None:
    frames = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    targets = Tracks.of([[(0, 0, 0, 4, 8, 0)], [(0, 0, 0, 4, 8, 1)]] * 2, 1, frames)
    found = [TrackedObjects(np.array([0]), np.array([[0.0, 0, 4, 8]]))] * 4
    assert tracking_metrics(found, targets)["idf1"] == 1
    assert [each.tolist() for each in targets.sequences()] == [[0, 2], [1, 3]]


def test_without_an_object_nothing_is_measured() -> None:
    nothing = TrackedObjects(np.empty(0, dtype=np.int64), np.empty((0, 4)))
    measured = tracking_metrics([nothing, nothing], Tracks.of([[], []], 1))
    assert list(measured) == list(TRACKING_COLUMNS) and np.isnan(list(measured.values())).all()


def trackeval_on_files(folder: Path, found: list[TrackedObjects], layout: str) -> dict[str, float]:
    """Return the metrics that TrackEval reads from a folder of MOTChallenge and a file of tracks."""
    from trackeval.datasets import MotChallenge2DBox

    data = folder.parent / "trackers" / "mine" / "data"
    data.mkdir(parents=True)
    lines = [
        f"{time},{number + 1},{left + 1},{top + 1},{right - left},{bottom - top},1,-1,-1,-1"
        for time, objects in enumerate(found, start=1)
        for number, (left, top, right, bottom) in zip(objects.identities, objects.boxes, strict=True)
    ]
    (data / f"{folder.name}.txt").write_text("\n".join(lines))
    reader = MotChallenge2DBox(
        {
            "GT_FOLDER": str(folder.parent),
            "TRACKERS_FOLDER": str(folder.parent / "trackers"),
            "TRACKERS_TO_EVAL": ["mine"],
            "BENCHMARK": layout.upper(),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {folder.name: len(found)},
            "PRINT_CONFIG": False,
        }
    )
    raw = reader.get_raw_seq_data("mine", folder.name)
    ready = reader.get_preprocessed_seq_data(raw, "pedestrian")
    made = trackeval_metrics()
    clear = made.CLEAR({"PRINT_CONFIG": False}).eval_sequence(ready)
    hota = made.HOTA().eval_sequence(ready)
    return {
        "mota": clear["MOTA"],
        "id_switches": clear["IDSW"] / ready["num_gt_dets"],
        "idf1": made.Identity({"PRINT_CONFIG": False}).eval_sequence(ready)["IDF1"],
        "hota": float(np.mean(hota["HOTA"])),
        "deta": float(np.mean(hota["DetA"])),
        "assa": float(np.mean(hota["AssA"])),
    }


@pytest.mark.parametrize("layout", ["mot15", "mot17"])
def test_metrics_are_those_of_trackeval_on_the_same_files(layout: Any, tmp_path: Path) -> None:
    sequence = WORLD.drawn("test", 1)
    folder = write_sequence(tmp_path / "data" / "one", sequence, layout)
    rows = (folder / "gt" / "gt.txt").read_text().splitlines()
    if layout == "mot17":  # walker 3 becomes a distractor, walker 4 is a car, and walker 5 is not considered
        changed = {"3": "1,8", "4": "0,3", "5": "0,1"}
        split = [row.split(",") for row in rows]
        rows = [
            ",".join([*each[:6], changed[each[1]], each[8]]) if each[1] in changed else ",".join(each)
            for each in split
        ]
    else:
        rows = [row.replace(",1,-1,", ",0,-1,") if row.split(",")[1] == "3" else row for row in rows]
    (folder / "gt" / "gt.txt").write_text("\n".join(rows))
    read = Mot(path=folder, test=0.2, gap=0).read()
    targets = read.train.targets
    for split in read.given().values():
        targets = targets if split is read.train else targets.joined(split.targets)
    assert isinstance(targets, Tracks) and len(targets) == 60
    found = disturbed(sequence)
    own, reference = tracking_metrics(found, targets), trackeval_on_files(folder, found, layout)
    assert reference["mota"] < 0.9 and reference["id_switches"] > 0
    assert own == pytest.approx({name: reference[name] for name in own}, abs=1e-9)


def test_distances_are_squared_and_in_standard_deviations() -> None:
    made = BoxFilter(np.array([0.0, 0.0, 10.0, 20.0]))
    here: npt.NDArray[np.float64] = np.array([[0.0, 0.0, 10.0, 20.0], [1.0, 0.0, 11.0, 20.0]])
    variance = (2 * 20 / 20) ** 2 + (20 / 20) ** 2
    assert made.distances(here).tolist() == pytest.approx([0, 1 / variance])


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_pairs_are_those_of_the_hungarian_algorithm(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, allowed = rng.random((rows, columns)), rng.random((rows, columns)) < rng.random()
    wanted = linear_sum_assignment(np.where(allowed, scores, 0.0), maximize=True)
    kept = allowed[wanted]
    found = assigned_pairs(scores, allowed)
    assert [each.tolist() for each in found] == [each[kept].tolist() for each in wanted]


def test_scores_that_are_alike_are_assigned_as_well() -> None:
    scores = np.array([[0.5, 0.5, 0.5], [0.5, 0.0, 0.5], [0.0, 0.0, 0.5]])
    rows, columns = assigned_pairs(scores, scores > 0)
    assert rows.tolist() == [0, 1, 2] and columns.tolist() == [1, 0, 2]


def test_a_tracker_gives_frame_after_frame_what_a_sequence_has() -> None:
    frames = found_in(WORLD.drawn("test", 2))
    tracker, chosen = ObjectTracker(TrackerSettings(patience=4)), TrackerSettings(patience=4)
    for frame, wanted in zip(frames, follow_objects(frames, chosen), strict=True):
        none = np.array([[0.0, 0, 9, 9, 1, -1]])  # no detection
        rows = np.column_stack([frame.boxes, frame.confidences, np.zeros(len(frame.boxes))])
        looks = np.concatenate([frame.embeddings, np.zeros((1, frame.embeddings.shape[1]))])
        found = tracker.next_frame(np.concatenate([rows, none]), looks)
        assert (found[:, 5] - 1).tolist() == wanted.identities.tolist()
        np.testing.assert_array_equal(found[:, :4], wanted.boxes)
