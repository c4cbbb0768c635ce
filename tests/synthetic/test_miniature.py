"""The miniature: the file in the package; packing is exact, unpacking is safe, atomic and reproducible."""

import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepgllim.data import Manifest, check_images, load_data
from deepgllim.errors import DataError
from deepgllim.imaging.images import open_image
from deepgllim.synthetic import bundled_miniature, miniature, pack_miniature, unpack_miniature
from tests.synthetic.miniatures import rendered_set

PEOPLE = ["p0000", "p0001", "p0002"]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The package's own miniature, unpacked."""
    return load_data(f"folder:{unpack_miniature(tmp_path_factory.mktemp('miniature') / 'heads')}")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of twelve pictures as it comes from the renderer. Read only."""
    return rendered_set(tmp_path_factory.mktemp("rendered"), PEOPLE, each=4)


@pytest.fixture
def archive(rendered: Path, tmp_path: Path) -> Path:
    """The set, packed."""
    pack_miniature(rendered, tmp_path / "small.zip")
    return tmp_path / "small.zip"


def contents(folder: Path) -> dict[str, bytes]:
    files = (place for place in folder.rglob("*") if place.is_file())
    return {place.relative_to(folder).as_posix(): place.read_bytes() for place in files}


def test_the_bundled_file_is_small_and_has_a_readme_with_its_origin() -> None:
    assert bundled_miniature().stat().st_size <= miniature.LARGEST_FILE
    with zipfile.ZipFile(bundled_miniature()) as packed:
        assert {member.compress_type for member in packed.infolist()} == {zipfile.ZIP_STORED}
        text = packed.read("README.txt").decode()
    assert text == miniature.README, "the constants have changed since it was made: run tools/make_miniature.py"
    assert all(word in text for word in (miniature.COMMAND, f"seed {miniature.SEED}", "Licence", "CC0"))
    assert (Path(__file__).parents[2] / miniature.COMMAND.split()[1]).is_file()


def test_the_bundled_set_has_its_people_and_pictures(heads: Manifest) -> None:
    """2,000 pictures, 40 people to train and 10 to test, as many of each."""
    assert len(heads) == miniature.IMAGES == 2000
    counts = Counter(heads.subjects)
    assert set(counts) == {f"p{person:04d}" for person in range(50)}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(set(miniature.TEST_PEOPLE)) == 10
    assert set(miniature.TEST_PEOPLE) < set(counts)


def test_every_bundled_picture_opens_and_has_its_size(heads: Manifest) -> None:
    assert check_images(heads) == []
    assert {open_image(path).size for path in heads.paths} == {(miniature.SIZE, miniature.SIZE)}
    assert 64 <= miniature.SIZE <= 96


def test_bundled_pictures_show_something_and_differ(heads: Manifest) -> None:
    pixels = np.stack([np.asarray(open_image(path).convert("L")) for path in heads.paths[::10]]).astype(float)
    assert (pixels.std(axis=(1, 2)) > 5).mean() > 0.98  # neither black nor blank
    assert len({picture.tobytes() for picture in pixels}) == len(pixels)


def test_bundled_labels_are_within_range_and_spread(heads: Manifest) -> None:
    assert heads.targets == ("pitch", "yaw", "roll")
    angles = heads.target_values
    assert (np.abs(angles) <= (60.0, 75.0, 20.0)).all()
    assert (angles.std(axis=0) > (10.0, 15.0, 4.0)).all()
    assert (np.abs(angles.mean(axis=0)) < (6.0, 6.0, 2.0)).all()
    width, height = (heads.boxes[:, 2:] - heads.boxes[:, :2]).T
    longer = np.maximum(width, height)
    assert ((longer > 0.4 * miniature.SIZE) & (longer < miniature.SIZE)).all()


def test_packing_keeps_pictures_and_labels(rendered: Path, archive: Path, tmp_path: Path) -> None:
    before, after = load_data(f"folder:{rendered}"), load_data(f"folder:{unpack_miniature(tmp_path / 'a', archive)}")
    np.testing.assert_allclose(after.target_values, before.target_values, atol=0.0051)
    np.testing.assert_allclose(after.boxes, before.boxes, atol=0.051)
    assert after.subjects.tolist() == before.subjects.tolist()
    assert [path.read_bytes() for path in after.paths] == [path.read_bytes() for path in before.paths]
    assert list(after.frame.columns) == list(miniature.COLUMNS)


def test_packing_twice_gives_the_same_bytes(rendered: Path, archive: Path, tmp_path: Path) -> None:
    size = pack_miniature(rendered, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert size == archive.stat().st_size


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "manifest.csv").unlink(), "manifest.csv: cannot be read"),
        (lambda folder: (folder / "manifest.csv").write_text("path,subject\n"), "column 'x0' is absent"),
        (lambda folder: (folder / "images/000/000005.jpg").unlink(), "000005.jpg: the picture cannot be read"),
        (lambda folder: (folder / "images/000/000005.jpg").write_bytes(b"PNG"), "000005.jpg: not a JPEG"),
        (lambda folder: shorten(folder / "manifest.csv"), "the table is empty"),
    ],
)
def test_an_invalid_set_is_not_packed(
    rendered: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(Path(shutil.copytree(rendered, tmp_path / "set")))
    with pytest.raises(DataError, match=message):
        pack_miniature(tmp_path / "set", tmp_path / "small.zip")
    assert not (tmp_path / "small.zip").exists()


def shorten(manifest: Path) -> None:
    """Leave the header alone."""
    manifest.write_text(manifest.read_text().splitlines()[0] + "\n")


def test_unpacking_again_keeps_what_is_there(archive: Path, tmp_path: Path) -> None:
    folder = unpack_miniature(tmp_path / "deep" / "heads", archive)
    before = {place: place.stat().st_mtime_ns for place in folder.rglob("*")}
    assert unpack_miniature(folder, archive) == folder
    assert {place: place.stat().st_mtime_ns for place in folder.rglob("*")} == before
    assert [place.name for place in folder.parent.iterdir()] == ["heads"]  # nothing temporary is left


def test_a_changed_set_is_replaced_only_where_asked(archive: Path, tmp_path: Path) -> None:
    folder = unpack_miniature(tmp_path / "heads", archive)
    whole = contents(folder)
    (folder / "images" / "0003.jpg").unlink()
    with pytest.raises(DataError, match="a changed one: give another folder, or overwrite"):
        unpack_miniature(folder, archive)
    assert "images/0003.jpg" not in contents(folder)
    unpack_miniature(folder, archive, overwrite=True)
    assert contents(folder) == whole


def test_a_folder_with_other_files_is_never_touched(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"holds thesis\.tex"):
            unpack_miniature(tmp_path / "mine", archive, overwrite=overwrite)
    assert contents(tmp_path / "mine") == {"thesis.tex": b"text"}


def test_an_empty_folder_is_filled_and_a_file_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert len(load_data(f"folder:{unpack_miniature(tmp_path / 'empty', archive)}")) == 12
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="not a folder"):
        unpack_miniature(tmp_path / "file", archive, overwrite=True)


@pytest.mark.parametrize("name", ["../evil.jpg", "/tmp/evil.jpg", "images/../../evil.jpg", "images/1234.exe", "a/"])
def test_names_that_lead_elsewhere_are_refused(archive: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, b"evil")
    with pytest.raises(DataError, match="not a miniature: it holds"):
        unpack_miniature(tmp_path / "in" / "heads", archive)
    assert not (tmp_path / "in").exists()
    assert not (tmp_path / "evil.jpg").exists()


def test_an_archive_that_unpacks_to_many_bytes_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(miniature, "_MOST_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1,000 are read"):
        unpack_miniature(tmp_path / "heads", archive)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-200], lambda whole: b"no zip", lambda whole: flipped(whole)])
def test_a_damaged_archive_leaves_nothing(archive: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match="damaged or not a miniature"):
        unpack_miniature(tmp_path / "in" / "heads", archive)
    assert list((tmp_path / "in").iterdir() if (tmp_path / "in").exists() else []) == []


def flipped(whole: bytes) -> bytes:
    """One bit of the middle changed: within a picture."""
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def test_a_missing_file_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(miniature, "__file__", str(tmp_path / "miniature.py"))
    with pytest.raises(DataError, match="is missing: install deepgllim again"):
        bundled_miniature()
