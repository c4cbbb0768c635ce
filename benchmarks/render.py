"""Rendered pictures a second, everything included: scene, drawing, blur and noise, JPEG, labels, files; prints JSON.

Each size is rendered into a temporary folder by `render_set`, with as many processes as cores; the time that the
processes take to start is left out by timing from the first finished chunk to the last. Where a part of the time
goes is measured apart, in one process.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from deepgllim.synthetic import Renderer, SceneSampler, apply_capture, encode_jpeg, label, render_set

AIMS = {128: 60, 224: 30}
"""Pictures a second on two cores, by size."""


def throughput(size: int, images: int, processes: int) -> float:
    """Pictures a second of a whole set, from the first finished chunk on."""
    marks: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        render_set(
            SceneSampler("uniform", identities=50, size=size, seed=1),
            images,
            Path(folder) / "set",
            processes=processes,
            progress=lambda done, _: marks.append((time.perf_counter(), done)),
        )
    (began, first), (ended, last) = marks[processes], marks[-1]  # marks[0] is the start
    return (last - first) / (ended - began)


def parts(size: int, images: int, warm_up: int) -> dict[str, float]:
    """Milliseconds a picture of each part, in one process, after as many as compile the shaders."""
    sampler, seconds = SceneSampler("uniform", identities=50, size=size, seed=1), [0.0] * 5
    with Renderer() as renderer:
        for index in range(warm_up + images):
            marks = [time.perf_counter()]
            scene = sampler(index)
            marks.append(time.perf_counter())
            label(renderer.mesh.model, scene)
            marks.append(time.perf_counter())
            pixels = renderer.draw(scene)
            marks.append(time.perf_counter())
            picture = apply_capture(pixels, scene.capture)
            marks.append(time.perf_counter())
            encode_jpeg(picture, scene.capture.jpeg_quality)
            marks.append(time.perf_counter())
            if index >= warm_up:
                seconds = [total + b - a for total, a, b in zip(seconds, marks[:-1], marks[1:], strict=True)]
    names = ("scene", "labels", "drawing", "capture", "jpeg")
    return {name: round(1e3 * total / images, 2) for name, total in zip(names, seconds, strict=True)}


def main() -> None:
    """Measure the sizes of the aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500, help="pictures of each size")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--warm-up", type=int, default=60, help="pictures drawn before parts are timed")
    arguments = parser.parse_args()
    sizes: dict[str, Any] = {}
    for size, aim in AIMS.items():
        rate = throughput(size, arguments.images, arguments.processes)
        measured = parts(size, min(60, arguments.images), arguments.warm_up)
        sizes[str(size)] = {"pictures_per_second": round(rate, 1), "aim": aim, "milliseconds": measured}
    with Renderer() as renderer:
        info = renderer.context.info
    print(json.dumps({"processes": arguments.processes, "renderer": info["GL_RENDERER"], "sizes": sizes}, indent=2))


if __name__ == "__main__":
    main()
