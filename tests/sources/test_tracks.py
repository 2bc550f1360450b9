"""Sources of tracks: folders of MOTChallenge as they are, split by time, and drawn sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data import Dataset, Examples
from distillab.data.boxes import NO_BOX
from distillab.data.tracks import Tracks
from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from distillab.sources.drawn_tracks import DrawnTracks
from distillab.sources.mot_files import read_sequence
from support.mot_folders import drawn_sequence, rows_of, write_sequence

FRAMES = 12
SEQUENCE = drawn_sequence(FRAMES)


def load(folder: Path, **entry: Any) -> Dataset:
    given = {"source": "mot", "path": str(folder), "test": 0.3, "gap": 2, "val": 0.25, **entry}
    return load_dataset(parse_source(given, folder, "study.yaml: data"))


def tracks_of(examples: Examples) -> Tracks:
    assert isinstance(examples.targets, Tracks)
    return examples.targets


@pytest.mark.parametrize("facts", [True, False], ids=["seqinfo", "no seqinfo"])
@pytest.mark.parametrize("layout", ["mot15", "mot17"])
def test_boxes_and_identities_are_read_as_they_were_drawn(layout: Any, facts: bool, tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE, layout, facts=facts)
    dataset = load(folder)
    splits = dataset.train, dataset.val, dataset.eval["test"]
    # 12 frames: 4 of test, a gap of 2, and of the 6 before that the last quarter for val.
    assert [tracks_of(each).frames[:, 1].tolist() for each in splits] == [
        [1, 2, 3, 4],
        [5, 6],
        [9, 10, 11, 12],
    ]
    numbers: dict[int, int] = {}
    for split in splits:
        for values, (_, frame), pixels in zip(
            tracks_of(split).values, tracks_of(split).frames, split.images, strict=True
        ):
            np.testing.assert_array_equal(pixels.transpose(1, 2, 0), SEQUENCE.pixels[frame - 1])
            rows = values[values[:, 0] != NO_BOX]
            drawn = SEQUENCE.objects[frame - 1]
            assert len(rows) == len(drawn)
            for row, each in zip(rows, drawn, strict=True):
                np.testing.assert_allclose(row[1:5], each.box, atol=1e-3)
                assert numbers.setdefault(each.identity, int(row[5])) == int(row[5])
    assert sorted(numbers.values()) == list(range(len(numbers)))


def test_identities_of_train_are_numbered_first(tmp_path: Path) -> None:
    rows = [f"{frame},{7 if frame < 9 else 3},5,5,9,19,1,-1,-1,-1" for frame in range(1, FRAMES + 1)]
    dataset = load(write_sequence(tmp_path / "walk", SEQUENCE, rows=rows))
    assert tracks_of(dataset.train).identities == 1 and tracks_of(dataset.eval["test"]).identities == 2


def test_images_are_resized_with_their_boxes(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE)
    small, usual = load(folder, resolution=32), load(folder)
    np.testing.assert_allclose(
        2 * tracks_of(small.train).values[..., 1:5], tracks_of(usual.train).values[..., 1:5], atol=1e-4
    )
    np.testing.assert_array_equal(
        tracks_of(small.train).values[..., 5], tracks_of(usual.train).values[..., 5]
    )


def test_sequences_are_split_by_their_names(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c", "d")):
        write_sequence(tmp_path / "train" / name, drawn_sequence(FRAMES, number=number))
    dataset = load(tmp_path, test_sequences=["b", "d"], val_sequences=["c"])
    assert dataset.train.group_names == ("a", "b", "c", "d")
    for split, sequences in ((dataset.train, [0]), (dataset.val, [2]), (dataset.eval["test"], [1, 3])):
        assert np.unique(tracks_of(split).frames[:, 0]).tolist() == sequences
        assert split.groups is not None and split.wholes is not None
        np.testing.assert_array_equal(split.groups, tracks_of(split).frames[:, 0])
    ids = [
        set(tracks_of(each).values[..., 5][tracks_of(each).values[..., 0] != NO_BOX])
        for each in (dataset.train, dataset.val, dataset.eval["test"])
    ]
    assert not ids[0] & ids[1] and not ids[0] & ids[2], "no two sequences share an identity"
    one = load(tmp_path, test_sequences=["b"])
    assert one.eval["test"].wholes is None and len(one.train) + len(one.val) == 3 * FRAMES
    assert len(load(tmp_path).eval["test"]) == 4 * 4


def test_of_three_copies_of_a_sequence_one_is_read(tmp_path: Path) -> None:
    for detector in ("DPM", "FRCNN", "SDP"):
        write_sequence(tmp_path / "train" / f"MOT17-02-{detector}", SEQUENCE, "mot17")
    dataset = load(tmp_path, detector="SDP")
    assert len(dataset.train) + len(dataset.val) + len(dataset.eval["test"]) == FRAMES - 2
    with pytest.raises(RequestError, match="no sequence with ground truth and the ending -DPM"):
        (tmp_path / "train" / "MOT17-02-DPM" / "gt" / "gt.txt").unlink()
        load(tmp_path, detector="DPM")


def test_rows_are_kept_and_counted_by_the_rules_of_the_format(tmp_path: Path) -> None:
    rows = [
        "1,1,5,5,10,20,1,1,1.0",  # a pedestrian
        "1,2,60,5,10,20,1,1,0.5",  # reaches beyond the image
        "1,3,70,5,10,20,1,1,0.5",  # is beyond it
        "1,4,5,5,0,20,1,1,1.0",  # has no area
        "1,5,20,5,10,20,0,1,1.0",  # is not considered
        "1,6,20,5,10,20,1,3,1.0",  # is a car
        "1,7,30,5,10,20,0,8,1.0",  # is a distractor
        *(f"{frame},1,5,5,10,20,1,1,1.0" for frame in range(3, FRAMES + 1)),
    ]
    dataset = load(write_sequence(tmp_path / "walk", SEQUENCE, rows=rows))
    first = tracks_of(dataset.train).values[0]
    assert first[first[:, 0] == 0][:, 1:5].tolist() == [[4, 4, 14, 24], [59, 4, 64, 24]]
    assert first[first[:, 0] == -2][:, 1:5].tolist() == [[29, 4, 39, 24]]
    notes = " ".join(dataset.report.notes)
    for note in (
        "not considered, or no pedestrians, left out: 2.",
        "clipped: 2.",
        "without area in their image, left out: 2.",
        "neither to be found nor mistakes (crowds, difficult objects): 1.",
        "Images without boxes, kept: 1.",
    ):
        assert note in notes, note


def test_what_is_no_motor_vehicle_is_a_distractor_in_mot20_alone(tmp_path: Path) -> None:
    rows = ["1,1,5,5,10,20,0,6,1.0", "1,2,30,5,10,20,1,1,1.0"]
    for name, left_out in (("MOT20-01", 0), ("MOT17-02-FRCNN", 1)):
        found = read_sequence(write_sequence(tmp_path / name, SEQUENCE, rows=rows))
        assert (len(found.rows[1]), found.left_out) == (2 - left_out, left_out)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["1,1,5,5,10,20,1,-1,-1,-1"] * 2,
            r"gt.txt, line 2: id 1 occurs twice in frame 1 \(allowed: an id once",
        ),
        (
            ["13,1,5,5,10,20,1,-1,-1,-1"],
            r"gt.txt, line 1: frame 13 does not exist \(allowed: frames 1 to 12\)",
        ),
        (["0,1,5,5,10,20,1,-1,-1,-1"], "frame 0 does not exist"),
        (["1,1,5,5,10,20"], r"line 1: '1,1,5,5,10,20' has 6 columns \(allowed: frame, id, left, top"),
        (["1,1,5,five,10,20,1,-1,-1,-1"], "is not a box"),
        (["1,1,5,nan,10,20,1,-1,-1,-1"], "is not a box"),
        (["1.5,1,5,5,10,20,1,-1,-1,-1"], "has no whole frame and id"),
        ([], "no object is to be found"),
    ],
)
def test_rows_that_are_not_in_the_format_are_named(rows: list[str], message: str, tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE, rows=rows)
    with pytest.raises(RequestError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_a_frame_without_an_image_is_named(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE)
    for number in (4, 7):
        (folder / "img1" / f"{number:06d}.png").unlink()
    with pytest.raises(RequestError, match="img1: 2 of 12 frames have no image, first frame 4"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": 0.9}, "sequence walk has 12 frames to be split by time"),
        ({"test": 0.01}, "sequence walk has 12 frames to be split by time"),
        ({"gap": 20}, "sequence walk has 12 frames to be split by time"),
        ({"test_sequences": ["wak"]}, "unknown sequence 'wak', did you mean 'walk'"),
        ({"test_sequences": ["walk"]}, "no sequence is left for training"),
        ({"test_sequences": ["walk"], "val_sequences": ["walk"]}, "sequence 'walk' is named twice"),
    ],
)
def test_splits_that_are_not_possible_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE)
    with pytest.raises(RequestError, match=message):
        load(folder, **changes)


def test_a_folder_without_sequences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no sequence with ground truth"):
        load(tmp_path)


def test_seqinfo_that_states_nothing_is_refused(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "walk", SEQUENCE)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=walk\n")
    with pytest.raises(RequestError, match=r"seqinfo.ini: it does not state the sequence \('seqlength'\)"):
        load(folder)


def test_a_dataset_of_tracks_is_stored_and_opened(tmp_path: Path) -> None:
    dataset = load_dataset(DrawnTracks(sequences=2, tested=2, frames=6, resolution=32))
    (tmp_path / "stored").mkdir()
    dataset.save(tmp_path / "stored")
    opened = Dataset.open(tmp_path / "stored")
    assert opened.digest == dataset.digest
    assert tracks_of(opened.train).frames.tolist() == tracks_of(dataset.train).frames.tolist()


def test_drawn_sequences_do_not_depend_on_their_number() -> None:
    few, many = DrawnTracks(sequences=1, frames=6), DrawnTracks(sequences=3, frames=6)
    assert np.array_equal(few.drawn("train", 0).pixels, many.drawn("train", 0).pixels)
    other = DrawnTracks(sequences=1, frames=6, seed=1)
    assert not np.array_equal(few.drawn("train", 0).pixels, other.drawn("train", 0).pixels)


def test_drawn_walkers_move_little_and_cover_each_other() -> None:
    made = DrawnTracks(frames=40)
    visibilities, moves = [], []
    for number in range(3):
        places: dict[int, float] = {}
        for objects in made.drawn("train", number).objects:
            for each in objects:
                left, top, right, bottom = each.box
                assert 0 <= left < right <= 96 and 0 <= top < bottom <= 96
                visibilities.append(each.visibility)
                if each.identity in places:
                    moves.append(abs(left - places[each.identity]))
            places = {each.identity: each.box[0] for each in objects}
    assert min(visibilities) < 0.3 and max(visibilities) == 1
    assert 0 < max(moves) < 8


def test_drawn_test_sequences_are_others_than_those_of_training() -> None:
    dataset = load_dataset(DrawnTracks(sequences=2, tested=3, frames=10, resolution=32, val=0.2))
    train, val, test = tracks_of(dataset.train), tracks_of(dataset.val), tracks_of(dataset.eval["test"])
    assert [len(each) for each in (train, val, test)] == [16, 4, 30]
    assert train.frames[:, 1].max() < val.frames[:, 1].min()
    assert not set(np.unique(train.frames[:, 0])) & set(np.unique(test.frames[:, 0]))
    assert dataset.eval["test"].wholes is not None and len(np.unique(dataset.eval["test"].wholes)) == 3


def test_lines_of_the_drawn_world_are_those_of_the_format() -> None:
    first = rows_of(SEQUENCE)[0].split(",")
    assert (
        len(first) == 10
        and first[6:] == ["1", "-1", "-1", "-1"]
        and len(rows_of(SEQUENCE, "mot17")[0].split(",")) == 9
    )


@pytest.mark.real
def test_pets_is_read(real_data: Path) -> None:
    dataset = load(real_data / "mot" / "PETS09-S2L1", test=0.44, gap=45, val=0.1)
    assert (len(dataset.train), len(dataset.val), len(dataset.eval["test"])) == (360, 40, 350)
    joined = tracks_of(dataset.train).joined(dataset.val.targets).joined(dataset.eval["test"].targets)
    assert joined.identities == 19 and dataset.train.shape == (3, 288, 384)
