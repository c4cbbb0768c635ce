"""`deepgllim predict` on videos and cameras: tracks, smoothing, annotated videos, Ctrl-C."""

import csv
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepgllim.pose.batch import scanning
from deepgllim.pose.detection import Face, faces
from deepgllim.pose.video.frames import Frame, VideoWriter, read_frames
from tests.pose.tiny import tiny_network

pytest.importorskip("av")

Call = Callable[..., Any]
REDS = (148, 150, 146, 148, 152, 144)
SIZE = (160, 120)


class Detector:
    """A detector that returns one constant box."""

    def detect(self, image: Image.Image) -> list[Face]:
        return [Face((40.0, 30.0, 100.0, 90.0), 0.9)]


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "make_detector", lambda name, **_: Detector())


@pytest.fixture(autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(path))


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a video of six frames with one face into the working directory."""
    with VideoWriter(tmp_path / "walk.mp4") as video:
        for n, red in enumerate(REDS):
            video.write(Image.new("RGB", SIZE, (red, 60, 60)), n / 25)
    monkeypatch.chdir(tmp_path)
    return Path("walk.mp4")


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def times(path: Path | str) -> list[float]:
    with read_frames(path) as frames:
        return [round(frame.time, 3) for frame in frames]


def test_tracks_of_a_video_are_printed(call: Call, walk: Path) -> None:
    called = call("predict", walk)
    assert (called.code, called.err) == (0, "")
    line = next(line for line in called.out.splitlines() if "walk.mp4" in line)
    assert [cell.strip() for cell in line.split("│")[1:6]] == ["walk.mp4", "0", "0.00 s", "0.20 s", "6"]


@pytest.mark.parametrize("smooth", [None, "off", "filter", "smoother"])
def test_tables_have_frames_times_and_tracks(call: Call, walk: Path, smooth: str | None) -> None:
    words = [] if smooth is None else ["--smooth", smooth]
    called = call("predict", walk, "--output", "walk.csv", *words)
    assert called.out == "table: walk.csv (6 faces on 6 frames)\n"
    rows = table("walk.csv")
    assert [float(row["time"]) for row in rows] == pytest.approx([n / 25 for n in range(6)])
    assert [(row["frame"], row["track"], row["face"]) for row in rows] == [(str(n), "0", "0") for n in range(6)]
    assert ("raw_yaw" in rows[0]) == (smooth != "off")
    if smooth != "off":
        steps = {
            name: [abs(float(b[name]) - float(a[name])) for a, b in itertools.pairwise(rows)]
            for name in ("yaw", "raw_yaw")
        }
        assert sum(steps["yaw"]) < sum(steps["raw_yaw"])


def test_json_lines_of_frames(call: Call, walk: Path) -> None:
    lines = [json.loads(line) for line in call("predict", walk, "--json", "--max-frames", "3").out.splitlines()]
    assert [(line["frame"], line["faces"][0]["track"]) for line in lines] == [(0, 0), (1, 0), (2, 0)]
    assert lines[1]["faces"][0]["raw"]["box"] == [40, 30, 100, 90]


@pytest.mark.parametrize("smooth", ["off", "filter", "smoother"])
def test_an_annotated_video_keeps_frames_and_times(call: Call, walk: Path, smooth: str) -> None:
    called = call("predict", walk, "--save", "drawn.mp4", "--smooth", smooth)
    assert called.code == 0
    assert "annotated: drawn.mp4 (6 frames, without sound)" in called.out
    assert times("drawn.mp4") == times(walk)
    with read_frames("drawn.mp4") as drawn, read_frames(walk) as plain:
        assert drawn.size == plain.size
        assert next(drawn).image != next(plain).image
    assert sorted(path.name for path in Path().iterdir()) == ["drawn.mp4", "walk.mp4"]


def test_pictures_and_videos_together(call: Call, walk: Path) -> None:
    Image.new("RGB", SIZE, (148, 60, 60)).save("a.png")
    called = call("predict", walk, "a.png", "--output", "all.csv", "--save", "drawn")
    assert "7 faces on 1 image and 6 frames" in called.out
    rows = table("all.csv")
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3", "4", "5", ""]
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a.png", "walk.mp4"]


def test_broken_videos_are_reported_and_the_others_processed(call: Call, refused: Call, walk: Path) -> None:
    Path("broken.mp4").write_text("no video")
    called = call("predict", "broken.mp4", walk, "--save", "drawn", "--json")
    assert called.code == 1
    assert called.err.startswith("deepgllim: broken.mp4: no video that can be read")
    assert len(called.out.splitlines()) == 6
    assert [path.name for path in Path("drawn").iterdir()] == ["walk.mp4"]
    assert "broken.mp4" in refused("predict", "broken.mp4").err
    assert "does not exist" in refused("predict", "none.mp4").err


def test_the_smoother_refuses_a_camera(refused: Call) -> None:
    called = refused("predict", "camera:0", "--smooth", "smoother")
    assert called.code == 2
    assert "--smooth filter" in called.err


class Camera:
    """A camera that is interrupted by Ctrl-C after some frames."""

    problem, frame_rate, size, n_frames = None, 25.0, SIZE, None

    def __init__(self, reds: Sequence[int]) -> None:
        self._frames = self._seen(reds)

    def _seen(self, reds: Sequence[int]) -> Iterator[Frame]:
        for n, red in enumerate(reds):
            yield Frame(n, n / 25, Image.new("RGB", SIZE, (red, 60, 60)))
        os.kill(os.getpid(), signal.SIGINT)
        n = len(reds)
        while True:
            yield Frame(n, n / 25, Image.new("RGB", SIZE, (red, 60, 60)))
            n += 1
            assert n < 1000, "Ctrl-C was ignored"

    def __iter__(self) -> "Camera":
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def source(self) -> str:
        return "camera:0"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_camera_runs_until_ctrl_c(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepgllim.cli.predict import outputs as predict_outputs

    real = predict_outputs.CameraSink
    monkeypatch.setattr(scanning, "read_frames", lambda source, max_frames: Camera(REDS))
    monkeypatch.setattr("deepgllim.cli.predict.run.CameraSink", lambda level: real(level, period=0.0))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    called = call("predict", "camera:0", "--output", "me.csv", "--save", "me.mp4")
    assert (called.code, called.err) == (0, "")
    rows = table("me.csv")
    assert len(rows) >= len(REDS)
    assert "raw_yaw" in rows[0]
    assert len(times("me.mp4")) == len(rows)
    assert "track 0: looking roughly into the camera" in called.out
    assert f"table: me.csv ({len(rows)} faces on {len(rows)} frames)" in called.out
    assert signal.getsignal(signal.SIGINT) is before


def test_an_absent_camera(refused: Call, tmp_path: Path) -> None:
    called = refused("predict", "camera:63", "--output", tmp_path / "me.csv")
    assert (called.code, "camera:63" in called.err) == (1, True)
    assert list(tmp_path.iterdir()) == []
