"""The pictures of rendered heads in the documentation: `python tools/contact_sheet.py`.

`docs/images/heads.jpg`: 64 heads of the set "wide", each another person. `docs/images/heads_axes.jpg`: 24 of them
without blur and patches, with what their labels say: the axes of the rotation from the tip of the nose, landmarks, box.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from deepgllim.geometry.rotations import AXES
from deepgllim.imaging.drawing import AXIS_COLOURS
from deepgllim.synthetic import load_head_model
from deepgllim.synthetic.capture import apply_capture
from deepgllim.synthetic.posing import head_vertices, label, to_camera
from deepgllim.synthetic.renderer import Renderer
from deepgllim.synthetic.sampler import SceneSampler
from deepgllim.synthetic.scene import Scene

IMAGES = Path(__file__).parents[1] / "docs" / "images"
NOSE = 30
"""The tip of the nose among iBUG's points."""


def labelled(picture: Image.Image, scene: Scene) -> Image.Image:
    """The picture with box, landmarks and axes."""
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


def sheet(sampler: SceneSampler, columns: int, rows: int, *, with_labels: bool) -> Image.Image:
    """Pictures 0 to columns · rows − 1 of a set, row by row."""
    size = sampler.size
    whole = Image.new("RGB", (columns * size, rows * size))
    with Renderer() as renderer:
        for index in range(columns * rows):
            scene = sampler(index)
            picture = apply_capture(renderer.draw(scene), scene.capture)
            place = (index % columns * size, index // columns * size)
            whole.paste(labelled(picture, scene) if with_labels else picture, place)
    return whole


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder of the pictures")
    arguments = parser.parse_args()
    heads = SceneSampler("wide", identities=1000, size=160, seed=arguments.seed)
    sheet(heads, 8, 8, with_labels=False).save(arguments.output / "heads.jpg", quality=88)
    plain = SceneSampler("wide", 1000, 200, arguments.seed, leave_out=("capture", "accessories"))
    sheet(plain, 6, 4, with_labels=True).save(arguments.output / "heads_axes.jpg", quality=88)


if __name__ == "__main__":
    main()
