"""Test that memory does not grow with the number of pictures of a shard."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from tests.processes import run_script

SCORE = """
import resource, sys
from pathlib import Path
from deepgllim.pose.scoring.model import model_digest
from deepgllim.pose.scoring.options import ScoringOptions
from deepgllim.pose.scoring.run import score
source, output, model = sys.argv[1:]
options = ScoringOptions(model, model_digest(model), detector=None)
(result,) = score(source, Path(output), options)
assert result.problem is None, result.problem
print(result.pictures, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
GROWTH = 48 << 10
"""Allowed growth of the peak, KiB: buffers of readers and the allocators' reserves."""


def noise() -> bytes:
    """Return a picture of about 190 kB that cannot be compressed."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "png", compress_level=0)
    return buffer.getvalue()


def write_archive(path: Path, content: bytes, count: int) -> None:
    with tarfile.open(path, "w") as tar:
        for n in range(count):
            member = tarfile.TarInfo(f"{n}.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_table(path: Path, content: bytes, count: int) -> None:
    schema = pyarrow.schema([("image", pyarrow.binary())])
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(count // 50):
            writer.write_table(pyarrow.table({"image": [content] * 50}, schema=schema))


@pytest.mark.parametrize("name", ["faces.tar", "faces.parquet"])
def test_the_peak_does_not_grow_with_the_shard(name: str, tiny_model: Path, tmp_path: Path) -> None:
    content, peaks = noise(), {}
    for count in (50, 550):
        folder = tmp_path / str(count)
        folder.mkdir()
        (write_archive if name.endswith("tar") else write_table)(folder / name, content, count)
        words = run_script(SCORE, folder / name, folder / "out", tiny_model).split()
        assert int(words[0]) == count
        peaks[count] = int(words[1])
        (folder / name).unlink()
    assert 550 * len(content) > 2 * GROWTH * 1024  # the file itself would not fit
    assert peaks[550] - peaks[50] < GROWTH, peaks
