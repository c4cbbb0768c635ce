"""`deepgllim predict` on images: words, tables, JSON, annotated images, and errors."""

import csv
import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image, ImageFile

from deepgllim.cli.predict.inputs import ConventionName
from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.pose.batch import scanning
from deepgllim.pose.batch.annotate import readable_size
from deepgllim.pose.detection import DETECTORS, Face, faces
from deepgllim.pose.network import PoseSpec, write_metadata
from deepgllim.pose.result import Pose
from tests.pose.tiny import tiny_network

Call = Callable[..., Any]
Unchanged = Callable[[Path], None]
ROOT = Path(__file__).resolve().parents[3]


class Detector:
    """A detector with as many faces as the blue level indicates, side by side."""

    def detect(self, image: Image.Image) -> list[Face]:
        _, _, blue = image.getpixel((0, 0))  # type: ignore[misc]
        return [Face((5.0 + 20 * n, 5.0, 25.0 + 20 * n, 30.0), 0.9 - 0.1 * n) for n in range(int(blue))]


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "make_detector", lambda name, **_: Detector())


@pytest.fixture(autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a small network as the default model; its pan is the red level minus 128."""
    path = tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(path))
    return path


def photo(path: Path, red: int = 148, count: int = 1, size: tuple[int, int] = (120, 80)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 0, count)).save(path, quality=100)
    return path


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """Write an image of a head turned by 20 degrees to the image's left."""
    return photo(tmp_path / "face.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a.png with one face, b.png with two, empty.png, sub/c.png and two invalid files to photos."""
    folder = tmp_path / "photos"
    photo(folder / "a.png", 138)
    photo(folder / "b.png", 118, 2)
    photo(folder / "empty.png", 118, 0)
    photo(folder / "sub" / "c.png", 158)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("not a picture")
    monkeypatch.chdir(tmp_path)
    return folder


BROKEN = "deepgllim: photos/broken.png: the picture cannot be decoded"
SUMMARY = "deepgllim: 1 of 5 inputs failed: see the lines above"


def test_one_face_is_described_in_words(call: Call, face: Path) -> None:
    called = call("predict", face)
    assert (called.code, called.err) == (0, "")
    assert called.out == "looking roughly into the camera, pitch 0° ± 18°, yaw 20° ± 33°, roll 0° ± 10° (90 %)\n"
    assert "(50 %)" in call("predict", face, "--level", "0.5").out
    assert called.out == call("predict", face, "--quiet").out


def test_another_convention_is_also_reported(call: Call, face: Path) -> None:
    assert "; openface: pose_Rx" in call("predict", face, "--convention", "openface").out
    assert "(radians)" in call("predict", face, "--convention", "openface").out
    assert "mediapipe: [[0.9" in call("predict", face, "--convention", "mediapipe").out
    assert get_args(ConventionName) == tuple(CONVENTIONS)


def test_the_help_lists_all_detectors(call: Call) -> None:
    shown = "".join(call("predict", "--help").out.replace("│", "").split())
    assert all(name in shown for name in DETECTORS)


def test_an_image_without_a_face_exits_with_0(call: Call, tmp_path: Path) -> None:
    empty = photo(tmp_path / "empty.png", count=0)
    called = call("predict", empty)
    assert (called.code, called.err) == (0, "")
    assert called.out == "no face found; use --no-detect for a crop of a face\n"
    assert call("predict", empty, "--no-detect").out.startswith("looking roughly into the camera")


def test_several_faces_are_a_table_in_words(call: Call, tmp_path: Path) -> None:
    called = call("predict", photo(tmp_path / "b.png", count=3))
    assert called.code == 0
    assert called.out.count("b.png") == 3
    assert called.out.count("looking roughly into the camera") == 3


def test_many_faces_are_columns(call: Call, tmp_path: Path) -> None:
    called = call("predict", photo(tmp_path / "b.png", 218, 9, (260, 80)))
    assert called.out.count("90° ± ") == 9
    assert "pan 90°" in called.out
    assert "degrees; ± is half the width of the 90 % interval" in called.out


def test_a_folder_with_a_broken_file(call: Call, folder: Path) -> None:
    called = call("predict", "photos")
    assert called.code == 1
    lines = called.err.splitlines()
    assert lines[0].startswith(BROKEN)
    assert lines[1:] == [
        "deepgllim: skipped 1 file, neither image nor video: .txt 1",
        "deepgllim: no face found in 1 of 4 images (photos/empty.png): use --no-detect for crops of faces",
        SUMMARY,
    ]
    assert all(text in called.out for text in ("photos/a.png", "photos/b.png", "photos/sub/c.png"))
    assert call("predict", "photos", "--quiet").err.splitlines() == [lines[0], SUMMARY]


def test_a_pattern_is_expanded(call: Call, folder: Path) -> None:
    called = call("predict", "photos/[ab]*.png", "--quiet", "--json")
    (folder / "broken.png").unlink()
    assert [json.loads(line)["source"] for line in called.out.splitlines()] == ["photos/a.png", "photos/b.png"]
    assert call("predict", "photos/[ab].png").code == 0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_have_a_row_for_each_face(call: Call, folder: Path, suffix: str) -> None:
    called = call("predict", "photos", "--output", f"faces{suffix}")
    assert called.code == 1
    assert called.out == f"table: faces{suffix} (4 faces on 4 images)\n"
    path = Path(f"faces{suffix}")
    if suffix == ".csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    assert [(row["source"], int(row["face"]), round(float(row["yaw"]))) for row in rows] == [
        *(("photos/a.png", 0, 10), ("photos/b.png", 0, -10), ("photos/b.png", 1, -10), ("photos/sub/c.png", 0, 30))
    ]
    assert "frame" not in rows[0]
    assert not Path(f"faces{suffix}.part").exists()


def test_json_is_an_object_for_one_image_and_lines_for_more(call: Call, face: Path, folder: Path) -> None:
    known = json.loads(call("predict", face, "--json").out)
    assert known["source"] == str(face)
    assert Pose.from_json(known["faces"][0]).pan == pytest.approx(20)
    lines = [json.loads(line) for line in call("predict", "photos", "--json").out.splitlines()]
    assert [(Path(line["source"]).name, len(line["faces"])) for line in lines] == [
        *(("a.png", 1), ("b.png", 2), ("empty.png", 0), ("c.png", 1))
    ]


def test_boxes_are_used_as_they_are(call: Call, face: Path) -> None:
    called = call("predict", face, "--json", "--box", "-2,2,54,46", "--box", "30,10,90,70")
    known = json.loads(called.out)
    assert [each["box"] for each in known["faces"]] == [[-2, 2, 54, 46], [30, 10, 90, 70]]
    assert known["faces"][0]["detection_score"] is None


def test_cameras(call: Call, face: Path) -> None:
    def yaw(*words: str) -> float:
        return float(
            json.loads(call("predict", face, "--json", "--box", "100,20,140,60", *words).out)["faces"][0]["angles"][
                "yaw"
            ]
        )

    assert yaw() == pytest.approx(20, abs=0.1)
    assert yaw("--field-of-view", "90") == pytest.approx(65, abs=0.1)
    assert yaw("--camera-matrix", "60,60,59.5,39.5") == pytest.approx(65, abs=0.1)


def test_an_annotated_image(call: Call, face: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.jpg"
    called = call("predict", face, "--save", drawn)
    assert called.code == 0
    assert called.out.splitlines()[1] == f"annotated: {drawn} (1 image)"
    with Image.open(drawn) as picture, Image.open(face) as original:
        assert picture.size == readable_size(original.size) == (640, 427)
        assert not np.array_equal(np.asarray(picture), np.asarray(original))


def test_annotated_images_keep_names_and_folders(call: Call, folder: Path, unchanged: Unchanged) -> None:
    unchanged(folder)
    called = call("predict", "photos", "--save", "drawn/today")
    assert called.code == 1
    found = sorted(path.relative_to("drawn/today").as_posix() for path in Path("drawn").rglob("*.png"))
    assert found == ["a.png", "b.png", "empty.png", "sub/c.png"]
    assert "annotated: drawn/today (4 images)" in called.out


FORMATS_WITH_LIMITS = [
    ("big.webp", (16_384, 40), "WEBP"),
    ("big.jpg", (65_536, 40), "JPEG"),
    ("big.gif", (65_536, 40), "GIF"),
]


@pytest.mark.parametrize(("name", "size", "kind"), FORMATS_WITH_LIMITS)
def test_images_that_a_format_cannot_store_are_reported(
    call: Call, refused: Call, folder: Path, name: str, size: tuple[int, int], kind: str
) -> None:
    (folder / "broken.png").unlink()
    (folder / name).write_bytes(photo(folder.parent / "big.bmp", size=size).read_bytes())
    called = call("predict", "photos", "--save", "drawn", "--output", "t.csv", "--quiet")
    assert called.code == 1
    first, second = called.err.splitlines()
    said = f"deepgllim: drawn/{name}: an image of {size[0]} × 40 pixels cannot be saved as {kind} ("
    assert first.startswith(said)
    assert first.endswith("save it as .png")
    assert second == "deepgllim: 1 of 5 inputs failed: see the lines above"
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a.png", "b.png", "empty.png", "sub"]
    assert Path("t.csv").read_text().count(name) == 1
    alone = call("predict", f"photos/{name}", "--save", "alone" + Path(name).suffix)
    assert (alone.code, alone.err.count("\n")) == (1, 1)
    assert "annotated" not in alone.out
    assert not list(Path().glob("alone*"))


@pytest.mark.parametrize("length", [240, 246, 251, 255])
def test_long_names_are_saved_or_reported(call: Call, folder: Path, length: int) -> None:
    for suffix in (".png", ".heic"):  # of which the second becomes .heic.png
        name = "a" * (length - len(suffix)) + suffix
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    (folder / "broken.png").unlink()
    named = [str(path) for path in sorted(folder.rglob("*.*g")) + sorted(folder.glob("*.heic"))]
    called = call("predict", *named, "--save", "drawn", "--quiet", "--output", "t.csv")
    drawn = list(Path("drawn").iterdir())
    unsaved = len(named) - len(drawn)
    assert unsaved == (1 if length == 255 else 0)  # the name itself is too long with .png behind it
    assert called.code == (1 if unsaved else 0)
    assert called.err.count("\n") == unsaved + bool(unsaved)
    assert called.err.count("File name too long") == unsaved
    assert sum("aaa" in line for line in Path("t.csv").read_text().splitlines()) == 2


def test_a_table_with_too_long_a_name_is_refused_before_the_run(refused: Call, face: Path) -> None:
    called = refused("predict", face, "--output", face.with_name("a" * 251 + ".csv"))
    assert "cannot be written (File name too long)" in called.err


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_annotated_images_have_the_permissions_of_the_umask(call: Call, face: Path) -> None:
    before = os.umask(0o022)
    try:
        call("predict", face, "--save", face.with_name("drawn.png"))
    finally:
        os.umask(before)
    assert face.with_name("drawn.png").stat().st_mode & 0o777 == 0o644


def test_failures_keep_no_image_in_memory(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Image.Image] = weakref.WeakSet()
    real, left = ImageFile.ImageFile.load, []

    def load(self: Any) -> Any:
        if self.size == (37, 29):  # the last
            gc.collect()
            left.append(len(alive))
        alive.add(self)
        return real(self)

    for n in range(20):
        (folder / f"broken{n}.png").write_bytes((folder / "a.png").read_bytes()[:80])
    Image.new("RGB", (37, 29)).save(folder / "last.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert call("predict", "photos", "--output", "t.csv", "--batch", "1").code == 1
    assert max(left) < 5


def test_results_inside_the_folder_are_not_read_again(call: Call, folder: Path) -> None:
    for _ in range(2):
        call("predict", "photos", "--save", "photos/drawn", "--overwrite")
    assert len(list((folder / "drawn").rglob("*.png"))) == 4


def test_files_are_not_overwritten_by_default(call: Call, refused: Call, face: Path, tmp_path: Path) -> None:
    for option, name in (("--save", "drawn.png"), ("--output", "faces.csv")):
        path = tmp_path / name
        path.write_text("mine")
        called = refused("predict", face, option, path)
        assert all(text in called.err for text in (str(path), "exists already", "--overwrite"))
        assert path.read_text() == "mine"
        assert call("predict", face, option, path, "--overwrite").code == 0
        assert path.read_bytes() != b"mine"


def test_the_photograph_itself_is_never_replaced(refused: Call, face: Path, unchanged: Unchanged) -> None:
    unchanged(face.parent)
    called = refused("predict", face, "--save", face, "--overwrite")
    assert all(text in called.err for text in (str(face), "is the picture itself", "--save"))
    refused("predict", face.parent, "--save", face.parent, "--overwrite")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--level", "0"], 2, ["--level", "0", "Must be > 0"]),
        (["--level", "90"], 2, ["--level", "90", "Must be < 1"]),
        (["--box", "200,2,254,46"], 1, ["face.png", "200,2,254,46", "outside the picture of 120 x 80"]),
        (["--box", "40,2,10,46"], 1, ["x0 < x1"]),
        (["--box", "10,2,54"], 2, ["10,2,54", "x0,y0,x1,y1"]),
        (["--box", "10,2,54,low"], 2, ["10,2,54,low", "four numbers"]),
        (["--box", "10,2,54,nan"], 1, ["nan"]),
        (["--box", "1,1,9,9", "--no-detect"], 2, ["--box and --no-detect"]),
        (["--box", "1,1,9,9", "other.png"], 2, ["one image"]),
        (["--save", "drawn.xyz"], 1, ["drawn.xyz", ".png"]),
        (["--save", "drawn.mp4"], 1, ["drawn.mp4", ".png"]),
        (["--save", "no/such/folder/drawn.png"], 1, ["no/such/folder/drawn.png", "cannot be written"]),
        (["--save", "drawn.png", "other.png"], 2, ["drawn.png is one file", "give a folder"]),
        (["--output", "faces.xlsx"], 1, ["faces.xlsx", ".csv"]),
        (["--output", "no/faces.csv"], 1, ["no/faces.csv", "cannot be written"]),
        (["--field-of-view", "180"], 2, ["180", "between 0 and 180"]),
        (["--field-of-view", "60", "--camera-matrix", "1,1,1,1"], 2, ["give one of them"]),
        (["--camera-matrix", "0,800,320,240"], 2, ["0,800,320,240", "above 0"]),
        (["--camera-matrix", "800,800"], 2, ["fx,fy,cx,cy"]),
        (["--convention", "mine"], 2, ["mine", "openface"]),
        (["--detector", "mine"], 2, ["mine", "blazeface"]),
        (["--batch", "0"], 2, ["--batch", "Must be >= 1"]),
        (["--max-frames", "0"], 2, ["--max-frames", "Must be >= 1"]),
        (["--model", "absent.onnx"], 1, ["absent.onnx", "no such file"]),
        (["--model", "age.onnx"], 1, ["the model predicts age, height, weight", "a pose needs"]),
        (["--model", "m.safetensors"], 1, ["m.safetensors: a trained model", "export m.safetensors MODEL.onnx"]),
        (["camera:0"], 2, ["a camera cannot be combined", "alone"]),
        (["--colour"], 2, ["--colour", "predict --help"]),
    ],
)
def test_invalid_options(
    refused: Call, face: Path, words: list[str], code: int, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(face.parent)
    photo(face.parent / "other.png")
    (face.parent / "m.safetensors").touch()
    spec = PoseSpec(("age", "height", "weight"), 8, 1.4)
    write_metadata(tiny_network(face.parent / "age.onnx"), face.parent / "age.onnx", spec)
    before = set(face.parent.iterdir())
    called = refused("predict", face, *words)
    assert called.code == code
    assert all(text in called.err for text in said), called.err
    assert set(face.parent.iterdir()) == before


def test_a_call_without_input_exits_with_2(refused: Call) -> None:
    called = refused("predict")
    assert called.code == 2
    assert "INPUT" in called.err


def test_invalid_images(refused: Call, face: Path, tmp_path: Path) -> None:
    cut, text, drawn = tmp_path / "cut.png", tmp_path / "text.jpg", tmp_path / "drawn.png"
    cut.write_bytes(face.read_bytes()[:60])
    text.write_text("not a picture")
    for file, said in ((cut, "truncated"), (text, "not a picture"), (tmp_path / "none.jpg", "does not exist")):
        called = refused("predict", file, "--save", drawn, "--output", tmp_path / "faces.csv")
        assert called.code == 1
        assert str(file) in called.err
        assert said in called.err
        assert not drawn.exists()
        assert not list(tmp_path.glob("faces.csv*"))


def test_empty_inputs(refused: Call, call: Call, face: Path, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    assert "the folder holds no file" in refused("predict", tmp_path / "void").err
    assert "no file fits this pattern" in refused("predict", tmp_path / "*.bmp").err
    called = call("predict", face, tmp_path / "void")
    assert called.code == 1
    assert "looking roughly into the camera" in called.out


def test_a_package_without_its_model(refused: Call, face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepgllim.pose import predictor

    monkeypatch.delenv("DEEPGLLIM_MODEL")
    monkeypatch.setattr(predictor, "DEFAULT_MODEL", "models/absent.onnx")
    assert "has no model of its own" in refused("predict", face).err


def test_names_that_are_not_valid_unicode(call: Call, face: Path, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    try:
        Path(path).write_bytes(face.read_bytes())
    except OSError:
        pytest.skip("this file system takes text only")
    called = call("predict", tmp_path, "--output", tmp_path / "faces.csv", "--save", tmp_path / "out")
    assert called.code == 0
    assert "caf\N{REPLACEMENT CHARACTER}.png" in (tmp_path / "faces.csv").read_text(encoding="utf-8")
    assert len(call("predict", tmp_path / "face.png", path, "--json").out.splitlines()) == 2


def test_ctrl_c_reports_the_file_of_the_rows(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = scanning.scan_pictures

    def interrupted(*words: Any, **options: Any) -> Any:
        yield next(real(*words, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr("deepgllim.cli.predict.run.scan_pictures", interrupted)
    called = call("predict", "photos", "--output", "faces.csv")
    assert called.code == 130
    assert "interrupted: the rows so far are in faces.csv.part; give the same command with --resume" in called.err
    assert len(Path("faces.csv.part").read_text().splitlines()) == 2
    assert not Path("faces.csv").exists()


def test_predict_imports_no_heavy_package(face: Path, model: Path) -> None:
    code = (
        "import sys; from deepgllim.cli import main; assert main(sys.argv[1:]) == 0;"
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'pydantic', 'pyarrow', 'av'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    words = ["predict", str(face), "--model", str(model), "--save", str(face.with_name("drawn.png"))]
    words += ["--output", str(face.with_name("faces.csv")), "--no-detect"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT / "src"
    )
    assert done.returncode == 0, done.stderr
    assert "1 face on 1 image" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_closed_pipe_raises_no_traceback(face: Path, model: Path) -> None:
    code = "import sys; from deepgllim.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["predict", *[str(face)] * 2, str(face.parent), "--model", str(model), "--no-detect", "--json"]
    for n in range(30):
        photo(face.parent / f"{n}.png")
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT / "src"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert process.returncode in (0, 1)


def test_a_model_without_read_permission(
    refused: Call, face: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def denied(self: Path, *words: Any, **options: Any) -> Any:
        if self.suffix in (".onnx", ".safetensors"):
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *words, **options)

    trained = face.with_name("mine.safetensors")
    trained.touch()
    monkeypatch.setattr(Path, "open", denied)
    said = "permission denied: ask its owner for the right to read it"
    for words in (["predict", face], ["predict", face, "--model", trained], ["export", trained, "a.onnx"]):
        called = refused(*words)
        assert (called.code, said in called.err) == (1, True)
