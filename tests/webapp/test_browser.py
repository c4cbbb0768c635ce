"""The page in a real browser: upload a picture, read the numbers, compare them with the predictor's own."""

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.predictor import HeadPose
from tests.pose.tiny import tiny_network

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.filterwarnings("ignore"),  # of gradio, starlette and websockets themselves
]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> HeadPose:
    return HeadPose(PoseNetwork(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")), detector=None)


@pytest.fixture(scope="module")
def page(predictor: HeadPose) -> Iterator[object]:
    """The page's address, its private folder, a browser's page, and every address that was asked for."""
    pytest.importorskip("gradio")
    playwright = pytest.importorskip("playwright.sync_api")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepgllim.webapp.page import serve

        with serve(predictor, max_pixels=200_000) as server, playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            asked: list[str] = []
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(server.url)
            tab.wait_for_selector("#given input[type=file]", state="attached", timeout=30_000)
            yield server, tab, asked
            browser.close()


def upload(tab: object, path: Path) -> None:
    tab.set_input_files("#given input[type=file]", str(path))  # type: ignore[attr-defined]


def test_upload_read_compare(page: tuple, predictor: HeadPose, tmp_path: Path) -> None:  # type: ignore[type-arg]
    server, tab, asked = page
    path = tmp_path / "face.png"
    Image.new("RGB", (120, 120), (150, 100, 90)).save(path)
    upload(tab, path)
    tab.wait_for_selector("#words tr[data-angle=yaw]", timeout=30_000)
    rows = {name: f"#words tr[data-angle={name}]" for name in ("pitch", "yaw", "roll")}
    read = {name: float(tab.get_attribute(row, "data-value")) for name, row in rows.items()}
    (pose,) = predictor.predict(path)
    assert read == {name: pytest.approx(getattr(pose, name), abs=0.5) for name in read}  # the upload may be compressed
    assert read["yaw"] == pytest.approx(22, abs=1)  # red 150 − 128
    assert re.search(r"yaw.*± ", tab.inner_text("#words .dg-words"))
    assert tab.get_attribute("#drawn img", "src").startswith("data:image/jpeg")
    kept = [name for _, _, names in os.walk(server.folder) for name in names]
    assert kept == []  # no picture is kept
    elsewhere = [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    assert elsewhere == []


def test_a_large_picture_is_refused_in_one_sentence(page: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    _, tab, _ = page
    tab.reload()
    tab.wait_for_selector("#given input[type=file]", state="attached", timeout=30_000)
    path = tmp_path / "large.png"
    Image.new("RGB", (600, 500)).save(path)
    upload(tab, path)
    tab.wait_for_selector("#words [role=alert]", timeout=30_000)
    assert "0.3 megapixels: this page takes up to 0.2" in tab.inner_text("#words")


def test_it_listens_to_this_machine_alone(page: tuple) -> None:  # type: ignore[type-arg]
    server, _, _ = page
    assert server.url.startswith("http://127.0.0.1:")
