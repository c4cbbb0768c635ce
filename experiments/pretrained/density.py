"""Add a density of early feature maps to the model in the package, and measure what its log p(x) rejects.

Mosaics, textures and text have the pose features of faces, and were accepted as such. The density is fitted to
photographs (Pointing'04), portraits and rendered heads; a fifth of the people of each is left out. The threshold of
log p(x) is the 5 % quantile over portraits and rendered heads that were left out, of people that the network has not
seen either.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from deepgllim import HeadPose
from deepgllim.data import Manifest, load_data, split_by_subject
from deepgllim.images import crop_face, open_image
from deepgllim.nn.map_density import add_map_density, fit_map_density, map_statistics
from deepgllim.pose.network import PoseNetwork, write_metadata
from experiments.pretrained import unknown
from experiments.protocol import as_markdown, write_rows

HERE = Path(__file__).parent
BLOCKS = (2, 4, 9)
"""Blocks of EfficientNet-Lite0 whose outputs are the maps: early, middle and later textures."""
LEFT_OUT = 0.2
QUANTILE = 0.05
EVERY_PORTRAIT = 2

Pixels = NDArray[np.uint8]
Rng = np.random.Generator


def block_outputs(proto: Any) -> list[str]:
    """Names of the outputs of the backbone's blocks, in order."""
    return [node.output[0] for node in proto.graph.node if node.op_type == "Conv" and ".project." in node.input[1]]


def crops(manifest: Manifest, margin: float, size: int) -> Pixels:
    """The crops of a table's faces."""
    boxes = zip(manifest.paths, manifest.boxes, strict=True)
    return np.stack([crop_face(open_image(path), tuple(box), margin, size) for path, box in boxes])


def portraits(folder: Path, margin: float, size: int) -> Pixels:
    """The crops of the faces that the detector finds, one a picture."""
    finder, found = HeadPose(threads=1), []
    for path in sorted(folder.rglob("*.jpg"))[::EVERY_PORTRAIT]:
        picture = open_image(path)
        poses = finder.predict(picture)
        if poses and poses[0].box is not None:
            found.append(crop_face(picture, poses[0].box, margin, size))
    return np.stack(found)


def mosaics(n: int, side: int, blocks: bool, size: int, margin: float, rng: Rng) -> Pixels:
    """Mosaics of side × side random colours, enlarged smoothly or as blocks."""
    found = []
    for _ in range(n):
        picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture = picture.resize((200, 200), Image.Resampling.NEAREST) if blocks else picture
        found.append(crop_face(picture, (0, 0, *picture.size), margin, size))
    return np.stack(found)


def textures(n: int, size: int, rng: Rng) -> Pixels:
    """Smoothed colour noise of grains of 1 to 12 pixels."""
    found = []
    for _ in range(n):
        grain = rng.uniform(1, 12)
        values = np.stack([gaussian_filter(rng.normal(size=(size, size)), grain) for _ in range(3)])
        values = values / values.std() * 50 + 128
        found.append(values.clip(0, 255).astype(np.uint8))
    return np.stack(found)


def texts(n: int, size: int, rng: Rng) -> Pixels:
    """Dark letters on light paper."""
    found = []
    for _ in range(n):
        light, dark = (tuple(int(v) for v in rng.integers(*span, 3)) for span in ((150, 256), (0, 100)))
        picture = Image.new("RGB", (size, size), light)
        for y in range(0, size, 14):
            letters = "".join(chr(int(code)) for code in rng.integers(97, 123, 20))
            ImageDraw.Draw(picture).text((0, y), letters, fill=dark)
        found.append(np.asarray(picture).transpose(2, 0, 1))
    return np.stack(found)


def other_pictures(photographs: Manifest, size: int, margin: float, rng: Rng) -> dict[str, Pixels]:
    """Pictures without a face, by kind."""
    found = {
        "things": unknown.things(300, size, rng),
        "walls, shirts, shelves": unknown.surroundings(photographs, size, rng),
        "backs of heads": unknown.backs(150, size, rng),
        "noise": unknown.noise(100, size, rng),
        "textures": textures(100, size, rng),
        "text": texts(100, size, rng),
    }
    for side in (4, 8, 16, 32):
        for blocks in (False, True):
            name = f"mosaics of {side} × {side}" + (", blocks" if blocks else "")
            found[name] = mosaics(100, side, blocks, size, margin, rng)
    return found


def main() -> None:
    """Fit, measure before and after, write the model and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR")
    parser.add_argument("--portraits", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--heads", required=True, help="folder:DIR of `deepgllim render --set wide`")
    parser.add_argument("--model", type=Path, required=True, help="exported model without such a density")
    parser.add_argument("--target", type=Path, required=True, help="file to write")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of density.csv")
    given = parser.parse_args()
    proto, before = onnx.load(str(given.model)), PoseNetwork(given.model, threads=1)
    size, margin, rng = before.spec.image_size, before.spec.margin, np.random.default_rng(0)
    maps = [block_outputs(proto)[block] for block in BLOCKS]
    photographs, heads = load_data(given.data), load_data(given.heads)
    faces = portraits(given.portraits, margin, size)
    split = round(len(faces) * (1 - LEFT_OUT))
    learning, left_out = {"portraits": faces[:split]}, {"portraits": faces[split:]}
    for name, manifest in (("photographs", photographs), ("rendered heads", heads)):
        parts = split_by_subject(manifest, LEFT_OUT, 0)
        learning[name], left_out[name] = (crops(part, margin, size) for part in parts)
    density = fit_map_density(map_statistics(proto, maps, np.concatenate(list(learning.values()))), maps)
    add_map_density(proto, density)
    given.target.write_bytes(proto.SerializeToString())
    after = PoseNetwork(given.target, threads=1)
    scores = {name: score(after, pixels) for name, pixels in left_out.items()}
    unseen = np.concatenate([scores["portraits"], scores["rendered heads"]])
    assert before.spec.calibration is not None
    old, new = before.spec.calibration["log_density_threshold"], float(np.quantile(unseen, QUANTILE))
    calibration = dict(before.spec.calibration) | {"log_density_threshold": new}
    write_metadata(given.target, given.target, before.spec._replace(calibration=calibration))
    known = {name: (score(before, pixels), scores[name]) for name, pixels in left_out.items()}
    rows = [accepted(name, *pair, old, new) for name, pair in known.items()]
    for name, pixels in other_pictures(
        photographs.subset(list(range(0, len(photographs), 9))), size, margin, rng
    ).items():
        row = accepted(name, score(before, pixels), score(after, pixels), old, new)
        for i, when in enumerate(("before", "after")):
            faces_, others = np.concatenate([pair[i] for pair in known.values()]), score((before, after)[i], pixels)
            row[f"auroc_{when}"] = roc_auc_score(
                np.r_[np.ones(len(faces_)), np.zeros(len(others))], np.r_[faces_, others]
            )
        rows.append(row)
    write_rows(rows, given.output / "density.csv")
    import pandas as pd

    print(as_markdown(pd.DataFrame(rows).round(3).fillna("").astype(str)))


def score(network: PoseNetwork, pixels: Pixels) -> NDArray[np.float64]:
    """The model's log_density of crops."""
    found = network(pixels).log_density
    assert found is not None
    return found


def accepted(
    name: str, before: NDArray[np.float64], after: NDArray[np.float64], old: float, new: float
) -> dict[str, Any]:
    """The shares of a kind of pictures that count as known faces."""
    return {
        "pictures": name,
        "n": len(before),
        "accepted_before": float(np.mean(before >= old)),
        "accepted_after": float(np.mean(after >= new)),
        "auroc_before": np.nan,
        "auroc_after": np.nan,
    }


if __name__ == "__main__":
    main()
