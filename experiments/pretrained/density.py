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
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from deepgllim import HeadPose
from deepgllim.data import Manifest, load_data, split_by_subject
from deepgllim.evaluation import open_faces
from deepgllim.imaging.images import crop_face, open_image
from deepgllim.metrics import area_under_roc
from deepgllim.nn.export.map_density import fit_map_density, map_statistics, write_with_map_density
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
    return np.stack([crop_face(picture, box, margin, size) for picture, box in open_faces(manifest)])


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


def divide_faces(
    photographs: Manifest, heads: Manifest, folder: Path, size: int, margin: float
) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """Crops to fit the density to, and crops of other people, by kind."""
    faces = portraits(folder, margin, size)
    split = round(len(faces) * (1 - LEFT_OUT))
    learning, left_out = {"portraits": faces[:split]}, {"portraits": faces[split:]}
    for name, manifest in (("photographs", photographs), ("rendered heads", heads)):
        parts = split_by_subject(manifest, LEFT_OUT, 0)
        learning[name], left_out[name] = (crops(part, margin, size) for part in parts)
    return learning, left_out


def write_model(
    source: PoseNetwork, target: Path, learning: dict[str, Pixels], left_out: dict[str, Pixels]
) -> PoseNetwork:
    """Write the model with the density and with its threshold of log p(x), and open it."""
    proto = onnx.load(str(source.path))
    maps = [block_outputs(proto)[block] for block in BLOCKS]
    statistics = map_statistics(proto, maps, np.concatenate(list(learning.values())))
    write_with_map_density(source.path, target, fit_map_density(statistics, maps))
    found = PoseNetwork(target, threads=1)
    unseen = np.concatenate([score(found, left_out[kind]) for kind in ("portraits", "rendered heads")])
    threshold = {"log_density_threshold": float(np.quantile(unseen, QUANTILE))}
    calibration = dict(source.spec.calibration or {}) | threshold
    write_metadata(target, target, source.spec._replace(calibration=calibration))
    return PoseNetwork(target, threads=1)


def measure(network: PoseNetwork, when: str, faces: dict[str, Pixels], others: dict[str, Pixels]) -> pd.DataFrame:
    """The share of each kind of pictures that counts as known faces, and the area under the ROC curve of the others."""
    assert network.spec.calibration is not None
    threshold = network.spec.calibration["log_density_threshold"]
    scores = {name: score(network, pixels) for name, pixels in (faces | others).items()}
    known = np.concatenate([scores[name] for name in faces])
    table = pd.DataFrame({f"accepted_{when}": {name: np.mean(found >= threshold) for name, found in scores.items()}})
    table[f"auroc_{when}"] = pd.Series({name: area_under_roc(known, scores[name]) for name in others})
    return table


def score(network: PoseNetwork, pixels: Pixels) -> NDArray[np.float64]:
    """The model's log_density of crops."""
    found = network(pixels).log_density
    assert found is not None
    return found


def main() -> None:
    """Fit, write the model, measure it before and after, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR")
    parser.add_argument("--portraits", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--heads", required=True, help="folder:DIR of `deepgllim render --set wide`")
    parser.add_argument("--model", type=Path, required=True, help="exported model without such a density")
    parser.add_argument("--target", type=Path, required=True, help="file to write")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of density.csv")
    given = parser.parse_args()
    before = PoseNetwork(given.model, threads=1)
    size, margin = before.spec.image_size, before.spec.margin
    photographs = load_data(given.data)
    learning, left_out = divide_faces(photographs, load_data(given.heads), given.portraits, size, margin)
    after = write_model(before, given.target, learning, left_out)
    some = photographs.subset(list(range(0, len(photographs), 9)))
    others = other_pictures(some, size, margin, np.random.default_rng(0))
    table = pd.concat([measure(before, "before", left_out, others), measure(after, "after", left_out, others)], axis=1)
    table["n"] = pd.Series({name: len(pixels) for name, pixels in (left_out | others).items()})
    table = table[["n", "accepted_before", "accepted_after", "auroc_before", "auroc_after"]]
    table = table.rename_axis("pictures").reset_index()
    write_rows(table.to_dict("records"), given.output / "density.csv")  # type: ignore[arg-type]
    print(as_markdown(table.round(3).fillna("").astype(str)))


if __name__ == "__main__":
    main()
