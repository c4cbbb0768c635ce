"""Tests of onnxruntime: telemetry, and sessions in forked and other processes."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from deepgllim import HeadPose
from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.detection.faces import BlazeFace, CenterFace, make_detector
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.runtime import TELEMETRY_OFF, Session, load_onnxruntime
from tests.pose.tiny import tiny_network
from tests.processes import FORK, run_script

forks = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux forks processes that have threads")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_network(tmp_path / "tiny.onnx")


def test_telemetry_is_off_before_the_import_whatever_the_user_has_set() -> None:
    code = f"""
    import sys
    from deepgllim.pose import runtime
    assert "onnxruntime" not in sys.modules
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "onnxruntime":
                import os
                print("imported with", os.environ["{TELEMETRY_OFF}"])
    sys.meta_path.insert(0, Finder())
    runtime.load_onnxruntime()
    """
    assert run_script(code, variables={TELEMETRY_OFF: "0"}) == "imported with 1\n"


def test_events_are_switched_off_where_it_was_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(load_onnxruntime(), "disable_telemetry_events", lambda: calls.append("off"))
    load_onnxruntime()
    assert calls == ["off"]


def test_without_onnxruntime_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match="pip install onnxruntime"):
        PoseNetwork(file)


def test_what_a_session_declares(file: Path) -> None:
    session = Session(file, threads=1)
    assert [(each.name, each.type, each.shape) for each in session.inputs] == [
        ("pixels", "tensor(uint8)", ("N", 3, 8, 8))
    ]
    assert session.outputs[-1] == ("log_density", "tensor(float)", ("N",))
    assert list(session.metadata) == ["deepgllim"]


# --- children made by fork

NETWORK = """
import sys
import numpy as np
from deepgllim.pose.network import PoseNetwork
file, threads = sys.argv[1], int(sys.argv[2])
network = PoseNetwork(file, threads)
side = network.spec.image_size
crops = np.random.default_rng(0).integers(0, 256, (40, 3, side, side)).astype(np.uint8)
expected = network(crops).means

def check():
    np.testing.assert_allclose(network(crops).means, expected, rtol=1e-4)
"""


@forks
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_network_answers_in_a_forked_child_that_then_ends_as_usual(threads: int) -> None:
    """The destructor of onnxruntime joins the threads of the parent, which hangs or crashes."""
    from deepgllim.pose.predictor import default_model

    code = """
    assert fork(check) == 0
    assert fork(check, leave=sys.exit) == 0
    assert fork(lambda: None, leave=sys.exit) == 0
    assert fork(lambda: check() or os._exit(fork(check, leave=sys.exit))) == 0
    check()
    """
    run_script(FORK + NETWORK + dedent(code), default_model(), threads)


@forks
@pytest.mark.parametrize("change", ["os.remove(file)", "open(file, 'ab').write(b'1234')"])
def test_a_file_that_changed_meanwhile_is_refused_in_the_child(change: str, file: Path) -> None:
    code = f"""
    from deepgllim.errors import ModelError
    def refused():
        try:
            network(crops)
        except ModelError as error:
            assert "has changed since the parent" in str(error) and "load the model in the child" in str(error)
            os._exit(3)
    {change}
    check()
    assert fork(refused) == 3
    """
    run_script(FORK + NETWORK + dedent(code), file, 2)


DETECTOR = """
import sys
import numpy as np
from deepgllim.pose.detection.faces import make_detector
from deepgllim.apps.web.examples import example_pictures
from PIL import Image
import tempfile, pathlib
name, options = sys.argv[1], {"boxes": "rendered"}
detector = make_detector(name, **options)
with tempfile.TemporaryDirectory() as folder:
    picture = Image.open(example_pictures(pathlib.Path(folder))[1]).convert("RGB")
expected = detector.detect(picture)
assert expected
"""


@forks
@pytest.mark.parametrize("name", ["blazeface", "centerface"])
def test_a_detector_answers_in_a_forked_child(name: str) -> None:
    installed(name)
    code = """
    import threading
    from concurrent.futures import ThreadPoolExecutor

    def again():
        assert detector.detect(picture) == expected
        assert make_detector(name, **options).detect(picture) == expected
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(detector.detect, [picture] * 4)) == [expected] * 4

    assert fork(again) == 0
    assert fork(again, leave=sys.exit) == 0
    assert fork(lambda: again() or os._exit(fork(again))) == 0
    again()
    """
    run_script(FORK + DETECTOR + dedent(code), name)


@forks
def test_a_data_loader_s_workers_predict(file: Path) -> None:
    code = """
    import sys
    import numpy as np
    from torch.utils.data import DataLoader, Dataset
    from deepgllim import HeadPose

    class Poses(Dataset):
        def __init__(self):
            self.head_pose = HeadPose(sys.argv[1], detector=sys.argv[2] or None)
            self.head_pose.predict(picture)
        def __len__(self):
            return 4
        def __getitem__(self, n):
            return len(self.head_pose.predict(picture))

    picture = np.full((64, 64, 3), 200, np.uint8)
    loader = DataLoader(Poses(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    print([int(count) for count in loader])
    """
    assert run_script(code, file, "") == "[1, 1, 1, 1]\n"
    assert run_script(code, file, "blazeface") == "[0, 0, 0, 0]\n"


# --- pickles


def installed(name: str) -> None:
    """Skip the test if the package of a detector is not installed."""
    try:
        make_detector(name)
    except ConfigurationError as error:
        pytest.skip(str(error))


def again(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def test_a_network_is_pickled_by_its_arguments(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    network = PoseNetwork(file.name, threads=1)
    pickled = pickle.dumps(network)
    assert len(pickled) < 1000
    monkeypatch.chdir(Path(__file__).parent)  # a worker may run elsewhere
    found = pickle.loads(pickled)
    assert (found.path, found.threads, found.spec) == (file, 1, network.spec)
    crops = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(found(crops).mean, network(crops).mean)
    file.unlink()
    with pytest.raises(ModelError, match="no such file"):
        pickle.loads(pickled)


@pytest.mark.parametrize("make", [BlazeFace, CenterFace])
def test_detectors_are_pickled_by_their_options(make: Callable[..., Any], head: Any) -> None:
    from PIL import Image

    from deepgllim.pose.detection.boxes import BoxMap

    installed(make.__name__.lower())
    detector = make(threshold=0.4, longest_side=320, boxes=BoxMap(1.0, 0.0, 0.0))
    picture = Image.fromarray(head)
    assert again(detector).detect(picture) == detector.detect(picture) != []


def test_head_pose_is_pickled_by_its_arguments(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    monkeypatch.chdir(tmp_path)
    by_path = HeadPose(file.name, detector=None, threads=1)
    monkeypatch.chdir(Path(__file__).parent)
    by_network = HeadPose(PoseNetwork(file, threads=1), detector=None)
    for head_pose in (by_path, by_network):
        found = again(head_pose)
        (one,), (other,) = head_pose.predict(picture), found.predict(picture)
        np.testing.assert_array_equal(one.rotation, other.rotation)
        np.testing.assert_array_equal(one.covariance, other.covariance)
        assert found.network.threads == 1


def test_head_pose_of_the_package_is_pickled_without_a_path() -> None:
    """The package may be installed in another folder where it is unpickled."""
    assert b"headpose.onnx" not in pickle.dumps(HeadPose(detector=None))


@forks
@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_workers_of_every_kind_predict(start: str, file: Path) -> None:
    code = """
    import multiprocessing, sys
    import numpy as np
    from deepgllim import HeadPose

    if __name__ == "__main__":
        head_pose = HeadPose(sys.argv[2], detector=None)
        pictures = [np.full((16, 16, 3), level, np.uint8) for level in (10, 100, 200)]
        expected = [repr(head_pose.predict(each)) for each in pictures]
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            found = pool.map_async(head_pose.predict, pictures).get(timeout=100)
        assert [repr(each) for each in found] == expected
    """
    run_script(code, start, file)
