"""The check of a data set: nothing is counted twice or lost, and everything broken is named once."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepgllim.data import check_data, load_data, make_manifest
from deepgllim.data.report import BIN_WIDTH, angle_histogram
from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import crop_face
from tests.data.biwi_trees import write_frame
from tests.data.trees import Head, head, write_300w_lp, write_aflw2000, write_cut_picture


def write_table(folder: Path, lines: list[str], head: str = "path,subject,x0,y0,x1,y1,pitch,yaw") -> str:
    (folder / "manifest.csv").write_text("\n".join([head, *lines]) + "\n")
    for number in range(3):
        Image.new("RGB", (64, 48)).save(folder / f"{number}.png")
    return f"folder:{folder}"


def test_a_sound_folder(face_folder: Path) -> None:
    received: list[tuple[int, int]] = []
    report = check_data(f"folder:{face_folder}", workers=2, progress=lambda *counts: received.append(counts))
    assert (len(report.faces), report.pictures, report.broken, report.left_out, report.beyond) == (24, 24, [], 0, 0)
    assert report.people == {"01": 6, "02": 6, "03": 6, "04": 6}
    assert report.sizes == {(64, 48): 24}
    assert (report.sequences, report.sources) == (0, {})
    assert received == [(n, 24) for n in range(1, 25)]


def test_the_histogram_of_the_real_labels(pointing04_dir: Path) -> None:
    histogram = angle_histogram(load_data(f"pointing04:{pointing04_dir}"))
    assert histogram.centres.tolist() == list(np.arange(-90, 91, 15.0))
    series = np.array([1, 0, 13, 0, 13, 13, 13, 13, 13, 0, 13, 0, 1])  # 93 poses, seen in 30 series
    assert histogram.counts["pitch"].tolist() == (30 * series).tolist()
    assert histogram.counts["yaw"].sum() == 2790


def test_faces_pictures_and_people_are_counted_apart(tmp_path: Path) -> None:
    lines = ["0.png,anna,1,1,9,9,0,5", "0.png,ben,20,1,29,9,0,5", "1.png,,1,1,9,9,0,5", "2.png,anna,,,,,0,5"]
    report = check_data(write_table(tmp_path, lines))
    assert (len(report.faces), report.pictures) == (4, 3)
    assert report.people == {"anna": 2, "ben": 1}


def test_sequences_belong_to_people(tmp_path: Path) -> None:
    lines = ["0.png,anna,1,web,5", "1.png,anna,2,web,5", "2.png,ben,1,,5", "2.png,ben,,web,5"]
    report = check_data(write_table(tmp_path, lines, "path,subject,sequence,source,yaw"))
    assert report.sequences == 3
    assert report.sources == {"web": 3}


def test_boxes_beyond_and_outside_the_picture(tmp_path: Path) -> None:
    lines = ["0.png,a,-3,1,9,9,0,5", "1.png,b,70,1,90,9,0,5", "2.png,c,0,0,64,48,0,5", "2.png,d,50,40,70,60,0,5"]
    report = check_data(write_table(tmp_path, lines))
    assert [(path.name, cause.split(":")[0]) for path, cause in report.broken] == [
        ("1.png", "box 70,1,90,9 lies outside the picture of 64 x 48 pixels")
    ]
    assert sorted(report.people) == ["a", "c", "d"]
    assert report.beyond == 2


BOXES = {
    "outside": (70, 1, 90, 9),
    "on its edge": (64, 1, 90, 9),
    "half a pixel wide": (10, 10, 10.5, 30),
    "too large": (-1e9, -1e9, 1e9, 1e9),
    "large": (-100, -100, 150, 150),
    "larger": (-100, -100, 157, 150),
    "a pixel": (10, 10, 11, 11),
    "reaching beyond": (-3, 1, 9, 9),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_box_passes_where_training_takes_it(name: str, tmp_path: Path) -> None:
    """The margin of no recipe may change it: 0.5 to 5, and up to 5 times more for the surroundings of augmentation."""
    source = write_table(tmp_path, [f"0.png,a,{','.join(map(str, BOXES[name]))},0,5", "1.png,b,1,1,9,9,0,5"])
    report = check_data(source)
    passed = len(report.faces) == 2
    assert len(report.broken) == (not passed)
    assert passed == (name in ("large", "a pixel", "reaching beyond"))
    image = Image.new("RGB", (64, 48))
    for margin in (0.5, 1.4, 25.0):
        if passed:
            assert crop_face(image, BOXES[name], margin, 32).shape == (3, 32, 32)
        else:
            with pytest.raises(ImageError, match=re.escape(report.broken[0][1])):
                crop_face(image, BOXES[name], margin, 32)


def test_unreadable_pictures_are_named_once(tmp_path: Path) -> None:
    source = write_table(tmp_path, ["0.png,a,1,1,9,9,0,5", "0.png,b,1,1,9,9,0,5", "1.png,c,1,1,9,9,0,5"])
    (tmp_path / "0.png").unlink()
    report = check_data(source)
    assert report.broken == [(tmp_path / "0.png", "the picture does not exist; check the path")]
    assert sorted(report.people) == ["c"]


def test_broken_labels_and_pictures_come_together(tmp_path: Path) -> None:
    root = write_aflw2000(tmp_path / "set", [head(index) for index in range(4)])
    (root / "image00002.mat").unlink()
    write_cut_picture(root / "image00004.jpg")
    report = check_data(f"aflw2000:{root}")
    assert [path.name for path, _ in report.broken] == ["image00002.mat", "image00004.jpg"]
    assert [path.name for path in report.faces.paths] == ["image00003.jpg", "image00005.jpg"]


def test_a_set_without_one_usable_face(tmp_path: Path) -> None:
    root = write_aflw2000(tmp_path / "set", [head(0)])
    (root / "image00002.mat").write_bytes(b"")
    report = check_data(f"aflw2000:{root}")
    assert (len(report.faces), report.people, report.sequences, len(report.broken)) == (0, {}, 0, 1)
    assert angle_histogram(report.faces).counts == {}


def test_faces_beyond_the_protocol_are_counted(tmp_path: Path) -> None:
    near = head(0)
    heads = {"AFW_1_0": near, "AFW_1_1": Head(np.array([0.0, 120.0, 0.0]), near.points)}
    report = check_data(f"300w-lp:{write_300w_lp(tmp_path / 'set', heads)}")
    assert (len(report.faces), report.left_out) == (2, 2)
    assert report.sources == {"300w-lp:AFW": 1, "300w-lp:AFW_Flip": 1}


def test_notes_of_the_reader_are_kept(tmp_path: Path) -> None:
    for name in ("01", "15"):
        write_frame(tmp_path / "hpdb" / name, 3)
    report = check_data(f"biwi:{tmp_path}")
    assert (len(report.faces), report.people, report.sequences, report.broken) == (2, {"01": 1, "03": 1}, 2, [])
    (note,) = report.notes
    assert note.startswith("sequences without usable frames: 02, 03, 04, ")
    (tmp_path / "hpdb" / "01" / "frame_00003_pose.txt").unlink()
    (tmp_path / "hpdb" / "15" / "rgb.cal").write_text("")
    report = check_data(f"biwi:{tmp_path}")
    assert [path.name for path, _ in report.broken] == ["rgb.cal", "frame_00003_rgb.png"]
    assert report.notes[0].startswith("sequences without usable frames: 01, 02, ")


def test_other_targets_and_refusals(tmp_path: Path) -> None:
    source = write_table(tmp_path, ["0.png,31"], "path,age")
    report = check_data(source, ["age"])
    assert report.faces.targets == ("age",)
    assert angle_histogram(report.faces).counts == {}
    with pytest.raises(DataError, match="none of pitch, yaw, roll"):
        check_data(source)


@settings(deadline=None)
@given(st.lists(st.floats(-180, 180), min_size=1, max_size=40))
def test_each_angle_is_in_the_bin_around_it(yaw: list[float]) -> None:
    faces = make_manifest(pd.DataFrame({"path": ["a"] * len(yaw), "yaw": yaw, "age": yaw}), ["yaw", "age"])
    centres, counts = angle_histogram(faces)
    assert list(counts) == ["yaw"]
    assert counts["yaw"].sum() == len(yaw)
    assert counts["yaw"][0] > 0 < counts["yaw"][-1]
    for centre, count in zip(centres, counts["yaw"], strict=True):
        surely = sum(abs(value - centre) < BIN_WIDTH / 2 - 1e-9 for value in yaw)
        at_most = sum(abs(value - centre) <= BIN_WIDTH / 2 + 1e-9 for value in yaw)
        assert surely <= count <= at_most
