"""The layout of Biwi, read independently of the package."""

import json
import struct
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepgllim.errors import ConfigurationError, RenderError
from deepgllim.geometry.rotations import angles_from_rotation, rotation_from_angles
from deepgllim.imaging.images import open_image
from deepgllim.synthetic import SceneSampler, render_set
from deepgllim.synthetic.biwi import HEAD_CENTRE, compress_depth, scenes
from tests.synthetic.fakes import FakeRenderer, contents, draws

Array = npt.NDArray[np.float64]
SAMPLER = SceneSampler("natural", identities=2, seed=3)
IMAGES = 5


def numbers(lines: list[str]) -> Array:
    return np.array([[float(word) for word in line.split()] for line in lines])


def read_pose(path: Path) -> tuple[Array, Array]:
    lines = path.read_text().split("\n")
    assert all(line.endswith(" ") for line in lines[:3])
    assert lines[3] == ""
    return numbers(lines[:3]), numbers(lines[4:5])[0]


def read_calibration(path: Path) -> tuple[Array, Array, Array]:
    lines = path.read_text().split("\n")
    assert numbers(lines[4:5]).shape == (1, 4)
    assert lines[12].split() == ["640", "480"]
    return numbers(lines[:3]), numbers(lines[6:9]), numbers(lines[10:11])[0]


def read_depth(content: bytes) -> npt.NDArray[np.int16]:
    width, height = struct.unpack_from("<ii", content)
    values: list[int] = []
    at = 8
    while len(values) < width * height:
        empty, full = struct.unpack_from("<ii", content, at)
        values += [0] * empty + list(struct.unpack_from(f"<{full}h", content, at + 8))
        at += 8 + 2 * full
    assert at == len(content)
    return np.array(values, dtype=np.int16).reshape(height, width)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("biwi") / "set"
    assert render_set(SAMPLER, IMAGES, folder, layout="biwi", processes=1, renderer=FakeRenderer) == folder
    return folder


def frames(tree: Path) -> list[Path]:
    """The frames' paths without their ending, in the order of the pictures."""
    return [tree / f"{n % 2 + 1:02d}" / f"frame_{n // 2 + 3:05d}" for n in range(IMAGES)]


def test_the_files_are_biwis(tree: Path) -> None:
    assert sorted(path.name for path in (tree / "01").iterdir()) == sorted(
        [f"frame_{n:05d}_{kind}" for n in (3, 4, 5) for kind in ("rgb.png", "depth.bin", "pose.txt")]
        + ["rgb.cal", "depth.cal"]
    )
    assert sorted(path.name for path in tree.iterdir()) == ["01", "02", "render.json", "scenes.jsonl"]
    assert open_image(tree / "02" / "frame_00004_rgb.png").size == (640, 480)


def test_the_formulas_for_biwi_give_our_angles(tree: Path) -> None:
    for index, path in enumerate(frames(tree)):
        R, _ = read_pose(Path(f"{path}_pose.txt"))
        A = R.T
        roll = -np.degrees(np.arctan2(A[1, 0], A[0, 0]))
        yaw = -np.degrees(np.arctan2(-A[2, 0], np.hypot(A[2, 1], A[2, 2])))
        pitch = np.degrees(np.arctan2(A[2, 1], A[2, 2]))
        np.testing.assert_allclose([pitch, yaw, roll], angles_from_rotation(SAMPLER(index).rotation), atol=1e-4)
        np.testing.assert_allclose(rotation_from_angles(pitch, yaw, roll), R, atol=1e-7)


def test_the_head_centre_falls_on_the_head_in_both_pictures(tree: Path) -> None:
    """Depth to colour is x_rgb = R·x + t: the centre lies on the head there, and beside it by the inverse."""
    for index, path in enumerate(frames(tree)):
        R, centre = read_pose(Path(f"{path}_pose.txt"))
        K, turn, shift = read_calibration(path.parent / "rgb.cal")
        values = json.loads((tree / "scenes.jsonl").read_text().splitlines()[index])
        camera = values["camera"]
        offset = np.array(values["rotation"]).reshape(3, 3) @ [0, 0, -HEAD_CENTRE[2]]  # behind the eyes
        there = np.array(camera["translation"]) + offset
        expected = camera["focal"] * there[:2] / there[2] + camera["centre"]
        x, y, z = K @ (turn @ centre + shift)
        np.testing.assert_allclose([x / z, y / z], expected, atol=0.01)
        x, y, z = K @ (turn.T @ (centre - shift))
        assert np.hypot(*(np.array([x / z, y / z]) - expected)) > 10
        np.testing.assert_allclose(turn @ R, np.array(values["rotation"]).reshape(3, 3), atol=1e-6)
        assert values["path"] == str(path.relative_to(tree)) + "_rgb.png"

        K, turn, shift = read_calibration(path.parent / "depth.cal")
        np.testing.assert_array_equal(turn, np.eye(3))
        assert not shift.any()
        depth = read_depth(Path(f"{path}_depth.bin").read_bytes())
        x, y, z = K @ centre
        assert abs(depth[round(y / z), round(x / z)] - centre[2]) < 80
        assert 0 < (depth > 0).mean() < 0.1


def test_the_extrinsic_is_a_small_rotation_and_some_millimetres(tree: Path) -> None:
    _, turn, shift = read_calibration(tree / "01" / "rgb.cal")
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert 0.2 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 1.5
    np.testing.assert_array_equal(shift, [-24, 6, -13])


def test_heads_are_within_reach_in_the_picture_and_not_all_in_its_middle() -> None:
    values = [scenes(SAMPLER, index) for index in range(60)]
    distances = np.array([colour.camera.translation[2] for colour, _ in values])
    assert distances.min() >= 0.7
    assert distances.max() <= 1.2
    assert np.ptp(distances) > 0.4
    places = np.array([colour.camera.project(colour.camera.translation) for colour, _ in values])
    assert (places > (100, 80)).all()
    assert (places < (540, 430)).all()
    assert (places.std(axis=0) > (50, 15)).all()
    for colour, _ in values:  # the model's arms end above this height: it must be out of the picture
        assert colour.camera.project(np.add(colour.camera.translation, (0, 0.27, 0)))[1] > 479.9


@pytest.mark.parametrize("rows", [[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 1], [1, 0]], [[1, 0], [0, 1.2345]]])
def test_depths_are_decoded_exactly(rows: list[list[float]]) -> None:
    metres = np.array(rows, dtype=np.float32)
    np.testing.assert_array_equal(read_depth(compress_depth(metres)), np.rint(1000 * metres.astype(np.float64)))


def test_resume_writes_the_same_tree(tree: Path, tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "set"
    with pytest.raises(RenderError, match="the driver is gone"):
        render_set(
            SAMPLER, IMAGES, folder, layout="biwi", processes=1, renderer=partial(FakeRenderer, log, fail_after=3)
        )
    assert draws(log) == 3
    done = sum(len(part.read_bytes().splitlines()) for part in (folder / ".parts").iterdir())
    render_set(SAMPLER, IMAGES, folder, layout="biwi", processes=1, resume=True, renderer=partial(FakeRenderer, log))
    assert draws(log) == 3 + IMAGES - done
    assert contents(folder) == contents(tree)


def test_more_people_than_folders_of_two_digits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="100 identities: layout biwi has folders 01 to 99"):
        render_set(SceneSampler("natural", identities=100), 1, tmp_path, layout="biwi", renderer=FakeRenderer)
