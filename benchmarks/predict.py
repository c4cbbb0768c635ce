"""Time detector, crop, network and complete prediction in faces per second, and the start of a process; print JSON.

A photograph has 640 × 480 pixels and one rendered head of 200 pixels. The network is compared with its own backbone,
extracted from the same file, in turns. Seconds are the minimum over repetitions, which other work affects least.
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

from deepgllim.imaging import crop_face
from deepgllim.pose import HeadPose, PoseNetwork, default_model
from deepgllim.pose.detection import make_detector
from deepgllim.pose.runtime import open_session
from deepgllim.synthetic import unpack_miniature

COUNTS = (1, 8, 64)
TARGET_START = 1.5
HIDDEN = "backbone/hidden"


def photographs(n: int) -> list[Image.Image]:
    """Return pictures with one rendered head each."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        unpack_miniature(Path(folder) / "heads")
        for path in sorted((Path(folder) / "heads").rglob("*.jpg"))[:n]:
            canvas = Image.new("RGB", (640, 480), (120, 125, 130))
            canvas.paste(Image.open(path).resize((200, 200)), (220, 140))
            found.append(canvas)
    return found


def backbone_alone(model: Path, folder: Path, threads: int) -> Any:
    """Return a session of the part of the graph before the head, with the same options."""
    path = folder / "backbone.onnx"
    onnx.utils.extract_model(str(model), str(path), ["pixels"], [HIDDEN])
    return open_session(str(path), threads)


def seconds(stages: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Return the minimum seconds of each stage, measured in turns."""
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
    """Return the seconds of a new process that imports the package, loads the model and predicts one photograph."""
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
    """Return a row: faces per second of each stage, and the seconds of the network relative to its backbone."""
    network, detector = PoseNetwork(model, threads), make_detector(threads=threads)
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=None, help="exported model; that of the package by default")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    model = options.model or default_model()
    rows = [measure(model, n, threads, options.repetitions) for threads in options.threads for n in COUNTS]
    start = {"seconds": round(start_up(model), 2), "target": TARGET_START}
    print(json.dumps({"model_megabytes": model.stat().st_size / 1e6, "start": start, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
