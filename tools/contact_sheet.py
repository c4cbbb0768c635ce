"""Render the images of the documentation with rendered heads: `python tools/contact_sheet.py`.

`docs/images/heads.jpg`: 64 people of the set "wide". `docs/images/heads_axes.jpg`: 24 of them without blur and patches,
with their labels: the axes of the rotation at the tip of the nose, landmarks, box.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from deepgllim.geometry.rotations import AXES
from deepgllim.imaging.drawing import AXIS_COLOURS
from deepgllim.synthetic import (
    Renderer,
    Scene,
    SceneSampler,
    apply_capture,
    head_vertices,
    label,
    load_head_model,
    to_camera,
)

IMAGES = Path(__file__).parents[1] / "docs" / "images"
NOSE = 30
"""Number of the tip of the nose among the landmarks of iBUG."""


def draw_labels(picture: Image.Image, scene: Scene) -> Image.Image:
    """Draw box, landmarks and axes."""
    model, camera = load_head_model(), scene.camera
    labels = label(model, scene)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle(labels.box, outline=(255, 220, 0))
    for x, y in labels.landmarks:
        canvas.ellipse((x - 1.2, y - 1.2, x + 1.2, y + 1.2), fill=(0, 255, 160))
    points = model.landmarks(head_vertices(model, scene))
    nose = to_camera(points[model.landmark_numbers.index(NOSE)], scene)
    for axis, colour in zip(AXES, AXIS_COLOURS, strict=True):
        ends = camera.project([nose, nose + 0.09 * scene.rotation @ axis])
        canvas.line([tuple(end) for end in ends.tolist()], fill=colour, width=3)
    return picture


def contact_sheet(sampler: SceneSampler, columns: int, rows: int, *, with_labels: bool) -> Image.Image:
    """Return images 0 to columns · rows − 1 of a set, row by row."""
    size = sampler.size
    image = Image.new("RGB", (columns * size, rows * size))
    with Renderer() as renderer:
        for index in range(columns * rows):
            scene = sampler(index)
            picture = apply_capture(renderer.draw(scene), scene.capture)
            place = (index % columns * size, index // columns * size)
            image.paste(draw_labels(picture, scene) if with_labels else picture, place)
    return image


def main() -> None:
    """Write both images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder of the images")
    arguments = parser.parse_args()
    heads = SceneSampler("wide", identities=1000, size=160, seed=arguments.seed)
    contact_sheet(heads, 8, 8, with_labels=False).save(arguments.output / "heads.jpg", quality=88)
    plain = SceneSampler("wide", 1000, 200, arguments.seed, leave_out=("capture", "accessories"))
    contact_sheet(plain, 6, 4, with_labels=True).save(arguments.output / "heads_axes.jpg", quality=88)


if __name__ == "__main__":
    main()
