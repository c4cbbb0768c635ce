"""Layouts of a set on disk: the remaining images, the writing of a chunk, the completion of the set.

A chunk is a range of consecutive images. Its last file is written after all others and atomically, and marks it as
complete. All files are written atomically, so that an interrupted run can be resumed.
"""

import csv
import io
import itertools
import json
import math
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepgllim.errors import DataError
from deepgllim.storage import write_atomically
from deepgllim.synthetic.biwi import calibration_files, render_frame
from deepgllim.synthetic.pictures import PictureFunction, RenderedPicture, render_picture
from deepgllim.synthetic.records import COLUMNS, Record, manifest_row
from deepgllim.synthetic.sampler import SceneSampler

SCENES, MANIFEST, PARTS = "scenes.jsonl", "manifest.csv", ".parts"
LARGEST_CHUNK, SHARD = 32, 512
"""Largest number of images of a chunk of files; number of images of a shard."""


class Layout(Protocol):
    """Interface of a layout."""

    @property
    def draw(self) -> PictureFunction:
        """Return the function that renders an image with its files and record."""

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """Return the remaining chunks of a set of `images` images."""

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """Render and write a chunk."""

    def extend(self, output: Path, images: int) -> None:
        """Prepare a set of `images` images for more of them."""

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """Complete a set whose chunks are all written, and return its path."""


@dataclass(frozen=True)
class FolderLayout:
    """One file for each image. The records of a chunk are in `.parts`, and finally in `scenes.jsonl`, one per line.

    Attributes:
        draw: renders an image.
        manifest: whether manifest.csv is written.
        fixed: returns additional files of the set from the number of people.
    """

    draw: PictureFunction
    manifest: bool
    fixed: Callable[[int], dict[str, bytes]]

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """Return the ranges that are neither in scenes.jsonl nor in a part."""
        gaps, at = [], _lines(output / SCENES)
        for part in _parts(output):
            gaps.append(range(at, min(part.start, images)))
            at = max(at, part.stop)
        gaps.append(range(at, images))
        length = min(LARGEST_CHUNK, math.ceil(sum(map(len, gaps)) / (4 * processes)) or 1)
        return [gap[start : start + length] for gap in gaps for start in range(0, len(gap), length)]

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """Write the images, then the part; after an error, a shorter part with the images before it."""
        records: list[bytes] = []
        try:
            for index in chunk:
                drawn = draw(index)
                for name, content in drawn.files.items():
                    _write(output / name, content)
                records.append(_json(drawn.record) + b"\n")
        except BaseException:
            with suppress(DataError):
                _write_part(output, chunk.start, records)
            raise
        _write_part(output, chunk.start, records)

    def extend(self, output: Path, images: int) -> None:
        """Do nothing."""

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """Append the parts to scenes.jsonl, write the manifest and remove the parts."""
        scenes, manifest = output / SCENES, output / MANIFEST
        path = manifest if self.manifest else output
        if not (output / PARTS).is_dir() and path.exists():
            return path
        for name, content in self.fixed(sampler.identities).items():
            _write(output / name, content)
        if _lines(scenes) < images:
            write_atomically(scenes, lambda place: _write_lines(place, _all_lines(output)))
        if self.manifest:
            write_atomically(manifest, lambda place: _write_manifest(place, scenes))
        shutil.rmtree(output / PARTS, ignore_errors=True)
        return path


@dataclass(frozen=True)
class ShardLayout:
    """WebDataset tars of 512 images, with `000000123.jpg` and `000000123.json` for each; they are reproducible."""

    draw: PictureFunction

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """Return the missing shards."""
        chunks = (range(start, min(start + SHARD, images)) for start in range(0, images, SHARD))
        return [chunk for chunk in chunks if not _shard(output, chunk.start).exists()]

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """Write one tar; the images of an unfilled tar of the same number are copied."""
        path = _shard(output, chunk.start)
        unfilled = _unfilled(path)

        def write(place: Path) -> None:
            """Write the tar to a temporary path."""
            held = _members(unfilled)
            with tarfile.open(place, "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in chunk:
                    for name, content in next(held, None) or _sample_members(index, draw(index)):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))

        write_atomically(path, write, tidy=False)
        with suppress(OSError):
            unfilled.unlink()

    def extend(self, output: Path, images: int) -> None:
        """Rename the last shard if it is not full, so that `write` fills it."""
        last = _shard(output, images)
        if images % SHARD and last.exists():
            last.replace(_unfilled(last))

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """Return the folder; nothing else is needed."""
        return output


LAYOUTS: dict[str, Layout] = {
    "folder": FolderLayout(render_picture, manifest=True, fixed=lambda identities: {}),
    "shards": ShardLayout(render_picture),
    "biwi": FolderLayout(render_frame, manifest=False, fixed=calibration_files),
}
"""Layouts by name."""


def _write(path: Path, content: bytes) -> None:
    def write(place: Path) -> None:
        """Write the content with its folder."""
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    write_atomically(path, write, tidy=False)


def _json(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _part(output: Path, chunk: range) -> Path:
    return output / PARTS / f"{chunk.start:09d}-{chunk.stop:09d}.jsonl"


def _write_part(output: Path, start: int, records: list[bytes]) -> None:
    if records:
        _write(_part(output, range(start, start + len(records))), b"".join(records))


def _parts(output: Path) -> list[range]:
    """Return the ranges of the parts, ascending."""
    names = sorted(path.stem.split("-") for path in (output / PARTS).glob("[0-9]*.jsonl"))
    return [range(int(start), int(stop)) for start, stop in names]


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _all_lines(output: Path) -> Iterator[bytes]:
    """Yield the lines of scenes.jsonl, then those of the parts after it, each once."""
    at = 0
    if (output / SCENES).exists():
        with (output / SCENES).open("rb") as file:
            for line in file:
                yield line
                at += 1
    for part in _parts(output):
        with _part(output, part).open("rb") as file:
            for line in itertools.islice(file, max(0, at - part.start), None):
                yield line
                at += 1


def _write_lines(place: Path, lines: Iterable[bytes]) -> None:
    with place.open("wb") as file:
        file.writelines(lines)


def _write_manifest(place: Path, scenes: Path) -> None:
    with scenes.open("rb") as source, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(manifest_row(json.loads(line)) for line in source)


def _shard(output: Path, index: int) -> Path:
    """Return the path of the shard of image `index`."""
    return output / f"shard-{index // SHARD:06d}.tar"


def _unfilled(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.part")


def _sample_members(index: int, drawn: RenderedPicture) -> list[tuple[str, bytes]]:
    """Return names and contents of the members of an image."""
    path, picture = next(iter(drawn.files.items()))
    record = {name: value for name, value in drawn.record.items() if name != "path"}
    return [(f"{index:09d}{Path(path).suffix}", picture), (f"{index:09d}.json", _json(record))]


def _members(path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the images of a shard, two members each; nothing if it does not exist."""
    if not path.exists():
        return
    try:
        with tarfile.open(path, "r:") as tar:
            members = ((member.name, file.read()) for member in tar if (file := tar.extractfile(member)) is not None)
            yield from ([picture, known] for picture, known in zip(members, members, strict=False))
    except tarfile.TarError as error:
        raise DataError(f"{path}: a damaged shard ({error}): remove it, and its pictures are drawn again") from None
