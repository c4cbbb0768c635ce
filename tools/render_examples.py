"""Render the example pictures of the page in the browser: `python tools/render_examples.py`.

Each has 640 × 480 pixels and one synthetic person; they are written to `src/deepgllim/apps/web/pictures`.
"""

from dataclasses import replace
from pathlib import Path

from deepgllim.synthetic import Renderer, Scene, SceneSampler, apply_capture, fit_camera, load_head_model

FOLDER = Path(__file__).parents[1] / "src" / "deepgllim" / "apps" / "web" / "pictures"
CHOSEN = {"level": 9, "up": 15, "down": 25, "aside": 46}
"""Name of each picture, and the index of its scene."""

SIZE = (640, 480)
MARGIN, OFFSET = 2.2, (0.0, -0.05)
QUALITY = 88


def scene(sampler: SceneSampler, index: int) -> Scene:
    """Return a scene in landscape format, with sharp and clean pictures."""
    chosen = sampler(index)
    width, height = SIZE
    wide = replace(chosen, camera=replace(chosen.camera, width=width, height=height))
    clean = replace(wide.capture, resolution=1.0, blur=0.0, motion=(0.0, 0.0), occlusions=0, noise=2.0)
    return fit_camera(replace(wide, capture=clean), load_head_model(), MARGIN, OFFSET)


def main() -> None:
    """Render and write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    sampler = SceneSampler("uniform", 400, 640, seed=7)
    with Renderer() as renderer:
        for name, index in CHOSEN.items():
            shown = scene(sampler, index)
            picture = apply_capture(renderer.draw(shown), shown.capture)
            picture.save(FOLDER / f"{name}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
