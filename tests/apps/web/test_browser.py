"""The page in a real browser: all sources of pictures, and the displayed values compared with those of the API."""

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from deepgllim.apps.http.limits import Limits
from deepgllim.apps.http.server import Server
from deepgllim.apps.web.page import serve
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.result import Pose
from tests.apps.http.served import HEIC, PARTIAL, POSE, STRANGE, ConstantPredictor, ask, picture
from tests.pose.tiny import tiny_network

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

LIMITS = Limits(max_bytes=200_000, max_pixels=400_000)
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
GIVE = """([name, text, type]) => {
  const content = Uint8Array.from(atob(text), (letter) => letter.charCodeAt());
  const transfer = new DataTransfer();
  if (content.length) transfer.items.add(new File([content], "face.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
  document.body.dispatchEvent(new window[type](name, options));
}"""
ANSWERED = "#words .card, #words .sorry"


class Visit(NamedTuple):
    """A page in a browser, its server, the requested addresses and the console messages."""

    tab: Any
    server: Server
    requested: list[str]
    logged: list[str]

    def upload(self, content: bytes, name: str = "face.png") -> None:
        self.tab.set_input_files("#file", [{"name": name, "mimeType": "image/png", "buffer": content}])
        self.tab.wait_for_selector(ANSWERED, timeout=60_000)

    def angles(self) -> dict[str, float]:
        rows = self.tab.query_selector_all("#words .card:first-child tr[data-angle]")
        return {row.get_attribute("data-angle"): float(row.get_attribute("data-value")) for row in rows}

    def fresh(self) -> "Visit":
        self.tab.goto(self.server.url)
        self.requested.clear()
        return self


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> HeadPose:
    return HeadPose(PoseNetwork(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")), detector=None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
        yield found
        found.close()


@pytest.fixture(scope="module")
def opened(predictor: HeadPose, browser: Any) -> Iterator[Visit]:
    with serve(predictor, port=0, examples=[picture(90), picture(200)], limits=LIMITS) as server:
        yield open_page(browser, server)


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    """Open the page again; afterwards check that it used no other server and logged no errors."""
    opened.logged.clear()
    yield opened.fresh()
    assert [url for url in opened.requested if not url.startswith((opened.server.url, "data:", "blob:"))] == []
    assert [text for text in opened.logged if "Failed to load resource" not in text] == []


def open_page(browser: Any, server: Server, **options: Any) -> Visit:
    tab = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    visit = Visit(tab, server, [], [])
    tab.on("request", lambda request: visit.requested.append(request.url))
    tab.on("console", lambda message: visit.logged.append(message.text))
    tab.on("pageerror", lambda error: visit.logged.append(str(error)))
    return visit.fresh()


def test_the_displayed_values_equal_those_of_the_api(visit: Visit, predictor: HeadPose, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(picture(150, (120, 120)))
    visit.upload(path.read_bytes())
    (face,) = ask(visit.server.port, content=path.read_bytes()).json["faces"]
    (pose,) = predictor.predict(path)
    read = visit.angles()
    assert read == face["angles"]
    assert read == {name: pytest.approx(getattr(pose, name)) for name in ("pitch", "yaw", "roll")}
    assert read["yaw"] == pytest.approx(22)  # red 150 − 128
    cells = visit.tab.inner_text("tr[data-angle=yaw]").split("\t")
    lower, upper = pose.interval(0.9)
    expected = f"{lower[1]:+.1f}° to {upper[1]:+.1f}°".replace("-", "−")
    assert cells == ["yaw", "+22.0°", expected, "to the image's left"]
    logged = visit.tab.inner_text("#words .words").replace("\xa0", " ")
    assert logged.lower() == pose.describe(0.9).lower()
    assert f"log p(x) = +{pose.log_density:.1f}" in visit.tab.inner_text("#words .verdict")
    assert visit.tab.get_attribute("#drawn img", "src").startswith("data:image/jpeg;base64,")
    assert visit.tab.get_attribute("#drawn img", "alt") == pose.describe(0.9)


def test_sixteen_bit_pictures_are_decoded_correctly(visit: Visit, tmp_path: Path) -> None:
    Image.new("I;16", (50, 50), 140 * 257).save(tmp_path / "grey16.png")
    visit.upload((tmp_path / "grey16.png").read_bytes())
    assert visit.angles()["yaw"] == pytest.approx(12)


@pytest.mark.parametrize(("name", "kind"), [("drop", "DragEvent"), ("paste", "ClipboardEvent")])
def test_dropped_and_pasted_pictures(name: str, kind: str, visit: Visit) -> None:
    visit.tab.evaluate(GIVE, [name, base64.b64encode(picture(138)).decode(), kind])
    visit.tab.wait_for_selector(ANSWERED, timeout=60_000)
    assert visit.angles()["yaw"] == pytest.approx(10)


def test_a_drop_without_a_file_fetches_nothing(visit: Visit) -> None:
    visit.tab.evaluate(GIVE, ["drop", "", "DragEvent"])
    assert "no file was dropped" in visit.tab.inner_text("#words [role=alert]")
    assert [url for url in visit.requested if "api" in url] == []


def test_an_example_picture(visit: Visit) -> None:
    visit.tab.click("#examples button:nth-of-type(2)")
    visit.tab.wait_for_selector(ANSWERED, timeout=60_000)
    assert visit.angles()["yaw"] == pytest.approx(72)


def test_a_picture_of_the_camera(visit: Visit) -> None:
    visit.tab.click("#film")
    visit.tab.wait_for_selector("#shoot:enabled", timeout=60_000)  # after the first frame
    with visit.tab.expect_request("**/api/poses*") as requested:
        visit.tab.click("#shoot")
    visit.tab.wait_for_selector(ANSWERED, timeout=60_000)
    assert requested.value.method == "POST"
    assert visit.tab.query_selector_all("#words .card")
    assert visit.tab.evaluate("document.querySelector('video').srcObject === null")  # the camera is off


def test_a_cancelled_camera_sends_nothing(visit: Visit) -> None:
    visit.tab.click("#film")
    visit.tab.wait_for_selector("#stop", state="visible", timeout=60_000)
    visit.tab.click("#stop")
    assert visit.tab.is_visible("#invitation")
    assert [url for url in visit.requested if "api" in url] == []


def test_a_denied_camera_gives_an_error_of_one_line(visit: Visit) -> None:
    denied = "Promise.reject(new Error('Permission denied'))"
    visit.tab.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => {denied}; }}")
    visit.tab.click("#film")
    visit.tab.wait_for_selector("#words [role=alert]", timeout=60_000)
    assert "the camera cannot be used (Permission denied)" in visit.tab.inner_text("#words")


def test_clear_removes_picture_and_results(visit: Visit) -> None:
    visit.upload(picture())
    visit.tab.click("#clear")
    assert visit.tab.inner_text("#words") == ""
    assert not visit.tab.is_visible("#drawn")
    assert visit.tab.is_visible("#invitation")
    assert visit.tab.is_disabled("#clear")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (picture(size=(1000, 500)), "0.5 megapixels, and up to 0.4 are taken"),
        (HEIC, "picture"),
        (picture()[:60], "truncated or damaged"),
        (bytes(300_000), "0.3 MB, and the limit is 0.2 MB"),
    ],
)
def test_invalid_pictures_give_an_error_of_one_line(content: bytes, expected: str, visit: Visit) -> None:
    visit.upload(content)
    logged = visit.tab.inner_text("#words [role=alert]")
    assert expected in logged
    assert "\n" not in logged
    assert "Traceback" not in logged
    visit.upload(picture(130))  # the next picture gets a response
    visit.tab.wait_for_selector("#words .card", timeout=60_000)
    assert visit.angles()["yaw"] == pytest.approx(2)


def test_requests_to_a_busy_server_are_repeated(visit: Visit) -> None:
    refused: list[str] = []

    def refuse_first(route: Any) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "too many pictures at once"})

    visit.tab.route("**/api/poses*", refuse_first)
    visit.upload(picture(133))
    visit.tab.unroute("**/api/poses*")
    assert visit.angles()["yaw"] == pytest.approx(5)
    assert len(refused) == 1


def test_the_newest_picture_is_displayed(visit: Visit) -> None:
    """A late response for an earlier picture does not replace it."""
    held: list[Any] = []
    visit.tab.route("**/api/poses*", lambda route: route.continue_() if held else held.append(route))
    visit.tab.set_input_files("#file", [{"name": "a.png", "mimeType": "image/png", "buffer": picture(100)}])
    visit.tab.wait_for_selector("#words .busy", timeout=60_000)
    while not held:
        visit.tab.wait_for_timeout(20)
    visit.upload(picture(140))
    visit.tab.unroute("**/api/poses*")
    assert visit.angles()["yaw"] == pytest.approx(12)


def test_a_stopped_server_gives_an_error_of_one_line(browser: Any) -> None:
    with serve(ConstantPredictor(POSE), port=0) as server:
        visit = open_page(browser, server)
    visit.upload(picture())
    assert "no response from the server" in visit.tab.inner_text("#words [role=alert]")
    visit.tab.close()


def test_several_faces_modes_verdicts_and_conventions(browser: Any) -> None:
    with serve(ConstantPredictor(POSE, STRANGE, PARTIAL), port=0) as server:
        visit = open_page(browser, server)
        visit.upload(picture(size=(200, 200)))
        known, strange, partial = visit.tab.query_selector_all("#words .card")
        text = known.inner_text()
        assert "Face 1 of 3" in text
        assert "✓ like the training data" in text
        assert re.search(r"pitch\s+\+12\.0°\s.*up", text)
        assert re.search(r"yaw\s+−23\.0°\s.*to the image's right", text)
        assert re.search(r"roll\s+\+4\.0°\s.*clockwise", text)
        known.query_selector("summary").click()
        rows = {
            row.get_attribute("data-convention"): row.inner_text() for row in known.query_selector_all("details tr")
        }
        assert "yaw −22.3, pitch +4.4, roll +6.9 degrees" in rows["hopenet"]  # its zero is 7 degrees off
        assert "pose_Rx −0.209, pose_Ry −0.401, pose_Rz +0.070 radians" in rows["openface"]
        assert f"pan {POSE.pan:+.1f}".replace("-", "−") in rows["neck angles"]
        assert rows["mediapipe"].count("+0.000\n") == 3  # the rows of a matrix
        text = strange.inner_text()
        assert "✗ unlike the training data: do not trust it" in text
        assert "60 %: pitch +12°, yaw −23°, roll +4°" in text
        assert "40 %: pitch +0°, yaw +40°, roll +0°" in text
        text = partial.inner_text()
        assert "this model has no threshold of log p(x)" in text
        assert re.search(r"roll\s+not predicted by this model", text)
        visit.tab.close()


def test_a_picture_without_a_face_gives_a_message(browser: Any) -> None:
    with serve(ConstantPredictor(), port=0) as server:
        visit = open_page(browser, server)
        visit.upload(picture())
        assert "no face was found" in visit.tab.inner_text("#words [role=alert]")
        assert visit.tab.is_visible("#drawn img")
        visit.tab.close()


def test_the_guide_explains_the_terms_of_the_page(visit: Visit) -> None:
    assert not visit.tab.is_visible("#guide")
    visit.tab.focus("#tab-picture")
    visit.tab.keyboard.press("ArrowRight")
    assert not visit.tab.is_visible("#picture")
    text = visit.tab.inner_text("#guide")
    for word in (
        "pitch",
        "yaw",
        "roll",
        "interval",
        "log p(x)",
        "unlike the training data",
        "profile",
        "tilt",
        "pan",
        "neck roll",
    ):
        assert word in text
    visit.tab.click("#tab-picture")
    assert visit.tab.is_visible("#picture")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_the_width_of_the_screen(width: int, browser: Any) -> None:
    near_profile = Pose(STRANGE.rotation, 400.0 * STRANGE.rotation_covariance, modes=STRANGE.modes, log_density=-1e5)
    with serve(ConstantPredictor(POSE, near_profile), port=0, examples=[picture()] * 4) as server:
        visit = open_page(browser, server, viewport={"width": width, "height": 800})
        visit.upload(picture(size=(1600, 100)))
        visit.tab.click("#words summary")
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width
        visit.tab.click("#tab-guide")
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width
        visit.tab.close()
