"""Make the screenshots of the web page for the documentation: docs/images/app_desktop.png and app_phone.png.

python tools/app_screenshots.py --model headpose.onnx
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from deepgllim.apps.web.examples import example_images
from deepgllim.apps.web.page import serve
from deepgllim.pose.predictor import HeadPose

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"app_desktop": (1280, 900), "app_phone": (390, 844)}


def main() -> None:
    """Serve the page, select an example and save the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=IMAGES)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with serve(HeadPose(given.model), examples=example_images()) as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height) in SIZES.items():
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(server.url)
            tab.click("#examples button:nth-of-type(2)")
            tab.wait_for_selector("#words .card, #words [role=alert]", timeout=60_000)
            tab.screenshot(path=str(given.output / f"{name}.png"), full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
