"""Forty videos, healthy and hostile: the right frames at their times, what was wrong with them, or one line."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="videos need PyAV")

from deepgllim.errors import DamagedVideoWarning
from deepgllim.pose.video.frames import Frame, Frames, read_frames
from tests.corpus.drawn import COLOURS
from tests.corpus.outcomes import Refused, both_kinds, quietly, refuses
from tests.corpus.videos import VIDEOS, Plays


def test_there_are_forty_of_both_kinds() -> None:
    assert len(VIDEOS) >= 40
    assert both_kinds((case.expected for case in VIDEOS.values()), 15)


@pytest.mark.parametrize("name", VIDEOS)
def test_video(name: str, tmp_path: Path) -> None:
    make, expected, suffix = VIDEOS[name]
    path = tmp_path / f"video.{suffix}"
    make(path)
    if isinstance(expected, Refused):
        refuses(lambda: read_frames(path), expected)
        return
    with read_frames(path) as video:
        frames: list[Frame] = quietly(lambda: list(video), DamagedVideoWarning)
    check(video, frames, expected)


def check(video: Frames, frames: list[Frame], expected: Plays) -> None:
    assert expected.least <= len(frames) <= expected.most
    assert frames[0].image.size == video.size == expected.size
    assert frames[-1].image.size == (expected.last or expected.size)
    assert (video.problem is None) == (expected.problem is None), video.problem
    assert (expected.problem or "") in (video.problem or "")
    assert (np.diff([frame.time for frame in frames]) > 0).all()
    if expected.seconds is not None:
        assert frames[-1].time == pytest.approx(expected.seconds, abs=2e-3)
    if expected.turns is not None:
        grid = np.rot90(np.arange(4).reshape(2, 2), expected.turns).ravel().tolist()
        assert {tuple(quarters_of(frame)) for frame in frames} == {tuple(grid)}


def quarters_of(frame: Frame) -> list[int]:
    """Which of the colours each quarter is nearest to."""
    width, height = frame.image.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    seen = np.array([frame.image.getpixel(place) for place in places])
    return [int(np.abs(np.array(COLOURS) - colour).max(axis=1).argmin()) for colour in seen]
