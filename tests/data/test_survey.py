"""What readers of many files share: which names count, sizes of pictures, and when broken files stop a reader."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deepgllim.data.survey import BrokenFileError, Survey, check_size, manifest_from_survey, matching_names, read_rows
from deepgllim.errors import DataError

FRAME = pd.DataFrame({"path": ["a.jpg"], "yaw": [3.0]})
BROKEN = [(Path("b.mat"), "is empty; copy it again"), (Path("c.mat"), "is empty too")]


def test_names_match_as_a_whole_and_in_order(tmp_path: Path) -> None:
    for name in ("b1.jpg", "a2.jpg", "._a2.jpg", "a2.jpg.part", "a.jpg"):
        (tmp_path / name).touch()
    assert matching_names(tmp_path, r"[ab]\d\.jpg") == ["a2.jpg", "b1.jpg"]
    assert matching_names(tmp_path / "absent", ".*") == []


def test_another_size_is_refused_without_the_files_name(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("L", (6, 4)).save(picture)
    check_size(picture, (6, 4), "the list says")
    with pytest.raises(BrokenFileError) as refused:
        check_size(picture, (4, 6), "the list says")
    assert refused.value.path == picture
    assert refused.value.cause.startswith("the picture has 6 × 4 pixels, but the list says 4 × 6, so its labels")
    picture.write_text("text")
    with pytest.raises(BrokenFileError) as refused:
        check_size(picture, (6, 4), "the list says")
    assert refused.value.cause.startswith("the file is not a picture in a format that is read")
    assert str(refused.value) == f"{picture}: {refused.value.cause}"


def test_only_broken_files_are_collected() -> None:
    def read(name: str) -> int:
        if name == "broken":
            raise BrokenFileError(name, "is broken")
        return int(name)

    assert read_rows(["1", "broken", "2"], read) == ([1, 2], [(Path("broken"), "is broken")])
    with pytest.raises(ValueError, match="invalid literal"):
        read_rows(["1", "x"], read)


def test_a_reader_stops_at_broken_files_or_skips_them() -> None:
    found = Survey(FRAME, BROKEN)
    message = r"^b\.mat: is empty; copy it again \(2 broken file\(s\), 1 usable faces; .*skip_broken=True\)$"
    with pytest.raises(DataError, match=message):
        manifest_from_survey(found, Path("set"))
    assert manifest_from_survey(found, Path("/set"), skip_broken=True).paths == [Path("/set/a.jpg")]
    assert len(manifest_from_survey(Survey(FRAME, []), Path("set"))) == 1


def test_skipping_is_no_remedy_where_nothing_is_left() -> None:
    for skip in (False, True):
        with pytest.raises(DataError, match=r", 0 usable faces; .*: fix or remove them\)$"):
            manifest_from_survey(Survey(FRAME[:0], BROKEN), Path("set"), skip_broken=skip)
    with pytest.raises(DataError, match="set: none of its 7 faces is within the usual protocol"):
        manifest_from_survey(Survey(FRAME[:0], [], left_out=7), Path("set"))
