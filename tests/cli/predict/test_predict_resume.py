"""`deepgllim predict --resume`: the table of an interrupted run equals that of an uninterrupted run."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepgllim.pose.batch import tables
from deepgllim.pose.batch.formats import FORMATS
from deepgllim.pose.detection import Face, faces
from tests.pose.tiny import tiny_network

Call = Callable[..., Any]
Snapshots = Callable[..., list[Path]]


class Detector:
    """A detector with as many faces as the blue level indicates, which records the red levels of its images."""

    seen: list[int]

    def __init__(self) -> None:
        self.seen = []

    def detect(self, image: Image.Image) -> list[Face]:
        red, _, blue = image.getpixel((0, 0))  # type: ignore[misc]
        self.seen.append(int(red))
        return [Face((5.0 + 20 * n, 5.0, 25.0 + 20 * n, 30.0), 0.9) for n in range(round(blue / 60))]


@pytest.fixture(autouse=True)
def detector(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Detector:
    found = Detector()
    monkeypatch.setattr(faces, "make_detector", lambda name, **_: found)
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")))
    return found


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write seven images, of which one is broken, one has no face and one has two, below the working directory."""
    folder = tmp_path / "here" / "photos"
    folder.mkdir(parents=True)
    for n, count in enumerate((1, 2, 0, 1, 1, 1)):
        Image.new("RGB", (120, 80), (100 + 10 * n, 0, 60 * count)).save(folder / f"{n}.png")
    (folder / "2b.png").write_bytes((folder / "0.png").read_bytes()[:60])
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Snapshots:
    """Return a function that copies the working directory before and after each write to the table of a run."""

    def run(*words: str, code: int = 1) -> list[Path]:
        taken: list[Path] = []

        def copied(real: Callable[..., Any]) -> Callable[..., Any]:
            def write(self: tables.TableWriter, entries: Sequence[Any]) -> None:
                for step in (lambda: None, lambda: real(self, entries)):
                    step()
                    taken.append(shutil.copytree(".", tmp_path / f"killed{len(taken)}"))

            return write

        with monkeypatch.context() as patch:
            for name in ("write", "finish"):
                patch.setattr(tables.TableWriter, name, copied(getattr(tables.TableWriter, name)))
            assert call("predict", *words).code == code
        return taken

    return run


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_killed_run_is_resumed(
    call: Call, photos: Path, snapshots: Snapshots, detector: Detector, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    words = ["photos", "--output", f"t{suffix}", "--batch", "2"]
    taken = snapshots(*words)
    whole, other = Path(f"t{suffix}").read_bytes(), call("predict", "photos", "--output", f"other{suffix}")
    assert len(taken) == 18  # a row or none for each of six pictures, three batches, before and after each
    for n, place in enumerate(taken):
        monkeypatch.chdir(place)
        if n % 3 == 1:  # an incomplete line
            for file in Path().glob("t.*"):
                file.write_bytes(file.read_bytes() + b'{"end": 12')
        detector.seen.clear()
        called = call("predict", *words, "--resume")
        assert Path(f"t{suffix}").read_bytes() == whole
        assert (called.code, called.err) == (1, other.err)
        assert called.out == other.out.replace("other", "t")
        finished = 2 * ((n + 1) // 6)
        assert detector.seen == [100, 110, 120, 130, 140, 150][finished:]
        assert sorted(path.name for path in Path().iterdir()) == sorted(["photos", f"t{suffix}"])


def test_annotated_images_equal_those_of_an_uninterrupted_run(
    call: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["photos", "--output", "t.csv", "--save", "drawn", "--batch", "2"]
    taken = snapshots(*words)
    whole = {path.name: path.read_bytes() for path in Path("drawn").iterdir()}
    assert len(whole) == 6
    for place in taken[::5]:
        monkeypatch.chdir(place)
        assert call("predict", *words, "--resume").code == 1
        assert {path.name: path.read_bytes() for path in Path("drawn").iterdir()} == whole


@pytest.mark.parametrize("smooth", ["off", "filter", "smoother"])
def test_an_unfinished_video_is_read_again(
    call: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, smooth: str
) -> None:
    pytest.importorskip("av")
    from deepgllim.pose.video.frames import VideoWriter

    (photos / "2b.png").unlink()
    for name in ("2walk.mp4", "walk.mp4"):
        with VideoWriter(photos / name) as video:
            for n in range(3):
                video.write(Image.new("RGB", (160, 120), (140 + n, 60, 60)), n / 25)
    words = ["photos", "--output", "t.csv", "--save", "drawn", "--smooth", smooth]
    taken = snapshots(*words, code=0)
    whole, drawn = Path("t.csv").read_bytes(), sorted(path.name for path in Path("drawn").iterdir())
    for place in taken[::7]:
        monkeypatch.chdir(place)
        called = call("predict", *words, "--resume")
        assert (called.code, called.err.count("\n")) == (0, 1)  # one picture has no face
        assert "12 faces on 6 images and 6 frames" in called.out
        assert Path("t.csv").read_bytes() == whole
        assert sorted(path.name for path in Path("drawn").iterdir()) == drawn


def test_a_fixed_image_is_processed(
    call: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = snapshots("photos", "--output", "t.csv")[-1]
    monkeypatch.chdir(place)
    shutil.copy("photos/0.png", "photos/2b.png")
    assert call("predict", "photos", "--output", "t.csv", "--resume").code == 0
    assert Path("t.csv").read_text().count("2b.png") == 1


def test_images_that_could_not_be_saved_are_reported_again(
    call: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "2b.png").unlink()
    Image.new("RGB", (16_384, 40), (120, 0, 60)).save(photos / "2.webp.bmp")
    (photos / "2.webp.bmp").rename(photos / "2.webp")  # Pillow reads by content and writes by suffix
    words = ["photos", "--output", "t.csv", "--save", "drawn"]
    place = snapshots(*words)[-1]
    monkeypatch.chdir(place)
    called = call("predict", *words, "--resume")
    assert called.code == 1
    assert "drawn/2.webp: an image of 16384 × 40 pixels cannot be saved as WEBP" in called.err
    assert "1 of 7 inputs failed" in called.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--level", "0.5"], "level = 0.9, not 0.5"),
        (["--no-detect"], "no_detect = False, not True"),
        (["--save", "drawn"], "save = None, not 'drawn'"),
        (["--convention", "openface"], "convention = None, not 'openface'"),
        (["more"], "inputs = ['photos'], not ['photos', 'more']"),
    ],
)
def test_other_options_are_refused(
    refused: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(snapshots("photos", "--output", "t.csv")[-1])
    before = Path("t.csv.part").read_bytes()
    called = refused("predict", "photos", "--output", "t.csv", "--resume", *words)
    assert said in called.err
    assert Path("t.csv.part").read_bytes() == before
    assert "--resume" in refused("predict", "photos", "--output", "t.csv").err
    assert not Path("t.csv").exists()


def test_another_model_is_refused(
    refused: Call, photos: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(snapshots("photos", "--output", "t.csv")[-1])
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(tiny_network(tmp_path / "other.onnx", size=9)))
    assert "model = " in refused("predict", "photos", "--output", "t.csv", "--resume").err


def test_resume_does_not_overwrite_files_of_others(refused: Call, call: Call, photos: Path) -> None:
    Path("drawn").mkdir()
    Path("drawn/0.png").write_text("mine")
    called = refused("predict", "photos", "--output", "t.csv", "--save", "drawn", "--resume")
    assert "drawn/0.png exists already" in called.err
    assert Path("drawn/0.png").read_text() == "mine"
    assert call("predict", "photos", "--output", "t.csv", "--resume").code == 1
    assert "t.csv exists already" in refused("predict", "photos", "--output", "t.csv", "--resume").err


@pytest.mark.parametrize(
    ("words", "said"), [(["photos"], "give the --output"), (["camera:0", "--output", "t.csv"], "camera")]
)
def test_runs_that_cannot_be_resumed(refused: Call, photos: Path, words: list[str], said: str) -> None:
    called = refused("predict", *words, "--resume")
    assert called.code == 2
    assert said in called.err
