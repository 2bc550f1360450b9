"""The tracks of a study's networks over a few frames of a test sequence, from its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples
from distillab.data.tracks import Tracks
from distillab.modalities import modality_of
from distillab.report.collect.shown_students import shown_students
from distillab.report.collect.stored_networks import stored_student, stored_teachers
from distillab.report.contents.tracks import ShownFrame, TrackMark, TrackStrip, TracksView
from distillab.study.folder import StudyFolder
from distillab.study.planning.conditions import PRIMARY
from distillab.tasks import Tracking
from distillab.tasks.track_matches import MatchedFrame, matched_frames
from distillab.tasks.tracker import TrackedObjects
from distillab.tasks.tracking_metrics import follow_stored, tracking_metrics

SHOWN_FRAMES = 5
_STEP = 5  # frames from one that is shown to the next, in sequences that are long enough
_Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Followed:
    """What one network, or the annotation, follows through all test sequences.

    Attributes:
        name: The network in words.
        note: What its tracks amount to.
        sequences: The matched frames of each sequence.
    """

    name: str
    note: str
    sequences: list[list[MatchedFrame]]


@dataclass(frozen=True)
class _Window:
    """Frames of a sequence: from ``start``, each ``step`` further."""

    sequence: int
    start: int
    step: int

    @property
    def shown(self) -> range:
        """The positions of the frames that are shown, within the sequence."""
        return range(self.start, self.start + SHOWN_FRAMES * self.step, self.step)


def tracks_view(folder: StudyFolder) -> TracksView | None:
    """Return what the report shows of tracks; None for another task, or before there is anything.

    Networks are those of the first condition and seed whose plain student and a distilled one are done. No
    frame is picked by hand: of all windows of test sequences it is the one in which the networks together
    have most identity switches, and of these the one with most objects, and the earliest.
    """
    task = folder.spec.task_config()
    if not isinstance(task, Tracking) or (shown := shown_students(folder)) is None:
        return None
    test = folder.roles(shown.condition).eval[PRIMARY]
    targets = test.targets
    assert isinstance(targets, Tracks)
    networks = stored_teachers(folder, shown.distilled)[:1]
    networks += [stored_student(folder, cell) for cell in (shown.plain, *shown.distilled)]
    followed = [
        _followed(each.name, follow_stored(each.stored, targets, task.tracker), targets) for each in networks
    ]
    truth = _Followed("ground truth", "", _matches(_annotated(targets), targets))
    window = _chosen([each.sequences for each in followed], truth.sequences)
    if window is None:
        return None
    positions = [known for known, _ in matched_frames(_annotated(targets), targets)][window.sequence]
    return TracksView(
        title=shown.title,
        sequence=_sequence_name(test, int(positions[0])),
        switches=sum(_switches(each.sequences[window.sequence], window) for each in followed),
        frames=tuple(_frame(test, int(positions[place])) for place in window.shown),
        strips=tuple(_strip(each, truth, window) for each in (truth, *followed)),
    )


def _followed(name: str, found: Sequence[TrackedObjects], targets: Tracks) -> _Followed:
    sequences = _matches(found, targets)
    measured = tracking_metrics(found, targets)
    switches = sum(frame.switches for frames in sequences for frame in frames)
    scores = ", ".join(f"{key.upper()} {100 * measured[key]:.1f}" for key in ("mota", "idf1"))
    noun = "identity switch" if switches == 1 else "identity switches"
    note = f"{scores}; {switches:,} {noun} in the test set".replace("-", "−")
    return _Followed(name, note, sequences)


def _matches(found: Sequence[TrackedObjects], targets: Tracks) -> list[list[MatchedFrame]]:
    return [frames for _, frames in matched_frames(found, targets)]


def _annotated(targets: Tracks) -> list[TrackedObjects]:
    """Return the objects that count as if they had been found."""
    found = []
    for values in targets.values:
        rows = values[(values[:, 0] >= 0) & (values[:, 5] >= 0)].astype(np.float64)
        found.append(TrackedObjects(rows[:, 5].astype(np.int64), rows[:, 1:5]))
    return found


def _sequence_name(test: Examples, position: int) -> str:
    return "the test sequence" if test.groups is None else test.group_names[int(test.groups[position])]


def _frame(test: Examples, position: int) -> ShownFrame:
    assert isinstance(test.targets, Tracks)
    picture = modality_of(test).preview(test.items(np.array([position]))[0]).picture
    return ShownFrame(picture, f"frame {int(test.targets.frames[position, 1])}")


# --- which frames ----------------------------------------------------------------------------------------


def _chosen(
    networks: Sequence[list[list[MatchedFrame]]], truth: Sequence[list[MatchedFrame]]
) -> _Window | None:
    """Return the window with most identity switches, then most objects; None if sequences are too short."""
    best, found = (-1, -1), None
    for sequence, frames in enumerate(truth):
        step = min(_STEP, (len(frames) - 1) // (SHOWN_FRAMES - 1))
        if not step:
            continue
        for start in range(len(frames) - step * (SHOWN_FRAMES - 1)):
            window = _Window(sequence, start, step)
            switches = sum(_switches(each[sequence], window) for each in networks)
            objects = sum(len(frames[place].objects) for place in window.shown)
            if (switches, objects) > best:
                best, found = (switches, objects), window
    return found


def _switches(frames: Sequence[MatchedFrame], window: _Window) -> int:
    return sum(frame.switches for frame in frames[window.start + 1 : window.shown[-1] + 1])


# --- boxes -----------------------------------------------------------------------------------------------


def _strip(each: _Followed, truth: _Followed, window: _Window) -> TrackStrip:
    frames = each.sequences[window.sequence]
    colors = _colors(frames, truth.sequences[window.sequence], window)
    shown, previous = [], window.start
    for place in window.shown:
        shown.append(_marks(frames[previous : place + 1], colors, is_first=place == window.start))
        previous = place
    return TrackStrip(each.name, each.note, tuple(shown))


def _colors(frames: Sequence[MatchedFrame], truth: Sequence[MatchedFrame], window: _Window) -> dict[int, int]:
    """Return the color of each track: that of the object it covers first, unless another track has it."""
    span = slice(window.start, window.shown[-1] + 1)
    objects: dict[int, int] = {}
    for frame in truth[span]:
        for obj in frame.objects.tolist():
            objects.setdefault(obj, len(objects))
    colors: dict[int, int] = {}
    free = len(objects)
    for frame in frames[span]:
        for track, obj in zip(frame.tracks.tolist(), frame.objects.tolist(), strict=True):
            if track in colors or obj not in objects:
                continue
            if (color := objects[obj]) in colors.values():
                color, free = free, free + 1
            colors[track] = color
    for track in sorted({track for frame in frames[span] for track in frame.tracks.tolist()} - set(colors)):
        colors[track], free = free, free + 1
    return colors


def _marks(
    frames: Sequence[MatchedFrame], colors: dict[int, int], *, is_first: bool
) -> tuple[TrackMark, ...]:
    """Return the boxes of the last of some frames, of which the first is the one shown before."""
    last, earlier = frames[-1], {}
    trails: dict[int, list[tuple[float, float]]] = {}
    for place, frame in enumerate(frames):
        for row, track in enumerate(frame.tracks.tolist()):
            left, _, right, bottom = frame.boxes[row].tolist()
            trails.setdefault(track, []).append(((left + right) / 2, bottom))
            if frame.before[row] >= 0 and (place or is_first):
                earlier[int(frame.objects[row])] = int(frame.before[row])
    marks = []
    for row, track in enumerate(last.tracks.tolist()):
        obj = int(last.objects[row])
        before = earlier.get(obj) if obj >= 0 else None
        left, top, right, bottom = last.boxes[row].tolist()
        marks.append(
            TrackMark(
                left,
                top,
                right,
                bottom,
                track + 1,
                colors[track],
                obj >= 0,
                None if before is None or before == track else before + 1,
                tuple(trails[track]),
            )
        )
    return tuple(marks)
