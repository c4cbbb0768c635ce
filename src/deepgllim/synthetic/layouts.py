"""How a set lies on the disk: what is done already, how a chunk of pictures is written, how the set is completed.

A chunk is a range of consecutive pictures. It is done once its last file is there, and that is written after all others
and atomically: a kill at any time leaves whole files only, and what is done is found again.
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
"""Pictures that are begun again after a kill, at most; pictures of a shard."""


class Layout(Protocol):
    """A way to store a set."""

    @property
    def draw(self) -> PictureFunction:
        """Makes a picture's files and its record."""

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """What is left to draw of a set of so many pictures, cut into chunks for so many processes."""

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """Draw and write a chunk."""

    def extend(self, output: Path, images: int) -> None:
        """Make ready for more pictures than the `images` that the set has had."""

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """Complete a set of which every chunk is done; the path to tell the user."""


@dataclass(frozen=True)
class LooseFiles:
    """A file a picture. Records gather a chunk in `.parts`, in the end in `scenes.jsonl`, a line a picture.

    Attributes:
        draw: makes the files of a picture.
        manifest: whether a manifest.csv is written.
        fixed: files of the set besides, by the number of people.
    """

    draw: PictureFunction
    manifest: bool
    fixed: Callable[[int], dict[str, bytes]]

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """The gaps between the lines of scenes.jsonl and the parts."""
        gaps, at = [], _lines(output / SCENES)
        for part in _parts(output):
            gaps.append(range(at, min(part.start, images)))
            at = max(at, part.stop)
        gaps.append(range(at, images))
        length = min(LARGEST_CHUNK, math.ceil(sum(map(len, gaps)) / (4 * processes)) or 1)
        return [gap[start : start + length] for gap in gaps for start in range(0, len(gap), length)]

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """Each picture, then the part; what was drawn before an error is kept by a shorter one."""
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
        """Nothing: pictures are found one by one."""

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """scenes.jsonl from itself and the parts, then the manifest, then the parts are of no use any more."""
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
class Shards:
    """WebDataset: tars of 512 pictures, `000000123.jpg` and `000000123.json` each; the same bytes everywhere."""

    draw: PictureFunction

    def pending(self, output: Path, images: int, processes: int) -> list[range]:
        """The shards that are not there."""
        chunks = (range(start, min(start + SHARD, images)) for start in range(0, images, SHARD))
        return [chunk for chunk in chunks if not _shard(output, chunk.start).exists()]

    def write(self, output: Path, chunk: range, draw: Callable[[int], RenderedPicture]) -> None:
        """One tar; what an unfilled one of the same number held is copied."""
        path = _shard(output, chunk.start)
        unfilled = _unfilled(path)

        def write(place: Path) -> None:
            held = _members(unfilled)
            with tarfile.open(place, "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in chunk:
                    for name, content in next(held, None) or _sample(index, draw(index)):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))

        write_atomically(path, write, tidy=False)
        with suppress(OSError):
            unfilled.unlink()

    def extend(self, output: Path, images: int) -> None:
        """A last shard that has room is put aside, to be filled up."""
        last = _shard(output, images)
        if images % SHARD and last.exists():
            last.replace(_unfilled(last))

    def finish(self, output: Path, sampler: SceneSampler, images: int) -> Path:
        """Nothing is left to do: the shards are the set."""
        return output


LAYOUTS: dict[str, Layout] = {
    "folder": LooseFiles(render_picture, manifest=True, fixed=lambda identities: {}),
    "shards": Shards(render_picture),
    "biwi": LooseFiles(render_frame, manifest=False, fixed=calibration_files),
}
"""Layouts by name."""


def _write(path: Path, content: bytes) -> None:
    def write(place: Path) -> None:
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
    """The ranges of the parts there are, ascending."""
    names = sorted(path.stem.split("-") for path in (output / PARTS).glob("[0-9]*.jsonl"))
    return [range(int(start), int(stop)) for start, stop in names]


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _all_lines(output: Path) -> Iterator[bytes]:
    """The lines of scenes.jsonl, then those of the parts that follow it, in order and each once."""
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
    """The shard that picture `index` is in."""
    return output / f"shard-{index // SHARD:06d}.tar"


def _unfilled(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.part")


def _sample(index: int, drawn: RenderedPicture) -> list[tuple[str, bytes]]:
    """Names and contents of the members of a picture: the key up to the first dot, then the field."""
    path, picture = next(iter(drawn.files.items()))
    record = {name: value for name, value in drawn.record.items() if name != "path"}
    return [(f"{index:09d}{Path(path).suffix}", picture), (f"{index:09d}.json", _json(record))]


def _members(path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """The pictures of a shard, two members each, none where there is no shard."""
    if not path.exists():
        return
    try:
        with tarfile.open(path, "r:") as tar:
            members = ((member.name, file.read()) for member in tar if (file := tar.extractfile(member)) is not None)
            yield from ([picture, known] for picture, known in zip(members, members, strict=False))
    except tarfile.TarError as error:
        raise DataError(f"{path}: a damaged shard ({error}): remove it, and its pictures are drawn again") from None
