"""Render and pack `src/deepgllim/synthetic/miniature.zip`.

    pip install -e '.[render]' && python tools/make_miniature.py

The constants of `deepgllim.synthetic.miniature` define the set. The file is
reproducible with the same renderer and driver.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from deepgllim.synthetic import SceneSampler, miniature, render_set


def main() -> None:
    """Render and pack the set, and print the size of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(miniature.__file__).with_name("miniature.zip")
    parser.add_argument("--output", type=Path, default=target, help="file to write (%(default)s)")
    parser.add_argument("--processes", type=int, default=None, help="number of processes")
    arguments = parser.parse_args()
    sampler = SceneSampler(miniature.NAME, identities=miniature.IDENTITIES, size=miniature.SIZE, seed=miniature.SEED)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        render_set(sampler, miniature.IMAGES, folder, processes=arguments.processes)
        size = miniature.pack_miniature(folder, arguments.output)
    seconds = time.perf_counter() - began
    print(f"{arguments.output}: {miniature.IMAGES} pictures, {size:,} bytes, {seconds:.0f} s")
    if size > miniature.LARGEST_FILE:
        sys.exit(f"over {miniature.LARGEST_FILE:,} bytes: lower SIZE or IMAGES in deepgllim/synthetic/miniature.py")


if __name__ == "__main__":
    main()
