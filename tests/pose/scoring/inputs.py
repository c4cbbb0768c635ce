"""Small inputs of the tests of scoring: pictures of one grey level, archives, tables."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet

from deepgllim.pose.scoring.locations import Location
from deepgllim.pose.scoring.model import model_digest
from deepgllim.pose.scoring.options import ScoringOptions


def picture(level: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """Return the file of a picture of one grey level; the tiny network predicts its pan as the level less 128."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, "png")
    return buffer.getvalue()


def pictures(count: int, first: int = 100) -> dict[str, bytes]:
    """Return pictures by name."""
    return {f"{n:03d}.png": picture(first + n) for n in range(count)}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def archive(files: Mapping[str, bytes], compression: str = "") -> bytes:
    """Return the content of a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def table(columns: Mapping[str, Any], rows: int = 1000) -> bytes:
    """Return the content of a Parquet file with groups of rows."""
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(columns)), buffer, row_group_size=rows)
    return buffer.getvalue()


def options_for(model: Path, **changes: Any) -> ScoringOptions:
    """Return options for pictures that are crops."""
    return ScoringOptions(str(model), model_digest(str(model)), detector=None)._replace(**changes)


def local(path: Path) -> Location:
    """Return the location of a local path."""
    import fsspec

    return Location(fsspec.filesystem("file"), str(path), "file")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def outputs(folder: Path) -> dict[str, bytes]:
    """Return the output shards of a folder by relative name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}
