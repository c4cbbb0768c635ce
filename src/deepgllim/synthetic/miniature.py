"""The miniature: 2,000 rendered heads in the package, for the demonstration.

`tools/make_miniature.py` renders and packs it; `unpack_miniature` writes it as a `folder:` data set.
"""

import csv
import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from deepgllim.errors import DataError
from deepgllim.storage import write_atomically

NAME, IDENTITIES, IMAGES, SIZE, SEED = "natural", 50, 2000, 80, 2017
"""Arguments of the `SceneSampler` of the miniature, which has images 0 to IMAGES − 1."""

LARGEST_FILE = 8_000_000
"""Largest size of the file, bytes."""

TEST_PEOPLE = tuple(f"p{person:04d}" for person in range(IDENTITIES - 10, IDENTITIES))
"""Test subjects: the last ten people."""

COLUMNS = ("path", "subject", "x0", "y0", "x1", "y1", "pitch", "yaw", "roll")
"""Columns of the manifest: boxes in pixels, angles in degrees."""

COMMAND = "python tools/make_miniature.py"

README = f"""A miniature of synthetic heads
==============================

{IMAGES} pictures of {SIZE} pixels a side, {IDENTITIES} people, in manifest.csv: subject, box of the face (pixels), and
pitch, yaw, roll (degrees; +pitch looks up, +yaw turns the face to the image's left, +roll leans it clockwise in the
image). {TEST_PEOPLE[0]} to {TEST_PEOPLE[-1]} are the people to test on.

Made by `{COMMAND}` in deepgllim's repository: set "{NAME}", seed {SEED}. No real person is shown.

Licence: Apache-2.0, as deepgllim. The heads come from a model distilled from MakeHuman's data (CC0).
"""

_MEMBER = re.compile(r"manifest\.csv|README\.txt|images/\d{4,6}\.jpg")
_MOST_BYTES = 64_000_000  # limit of the unpacked size
_CHANGED = (1980, 1, 1, 0, 0, 0)  # date of all members, for a reproducible file


def bundled_miniature() -> Path:
    """Return the path of the miniature in the package.

    Raises:
        DataError: the file does not exist, as in an incomplete copy of the sources.
    """
    path = Path(__file__).with_name("miniature.zip")
    if not path.is_file():
        raise DataError(f"{path}: the miniature is missing: install deepgllim again, or make it with `{COMMAND}`")
    return path


def unpack_miniature(folder: Path, archive: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the miniature as a `folder:` data set, atomically. An unchanged one in the folder is kept.

    Args:
        folder: folder of the data set: new, empty, or with a miniature.
        archive: file written by `pack_miniature`; by default that of the package.
        overwrite: replace a different or changed miniature; a folder with other files is never changed.

    Returns:
        `folder`, with manifest.csv, README.txt and images/.

    Raises:
        DataError: the archive is damaged or not a miniature; the folder has other files or, without `overwrite`, other
            contents; the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from deepgllim.data import load_data
        >>> with tempfile.TemporaryDirectory() as place:
        ...     len(load_data(f"folder:{unpack_miniature(Path(place) / 'heads')}"))
        2000
    """
    archive = bundled_miniature() if archive is None else archive
    if not archive.is_file():
        raise DataError(f"{archive}: no such file: give a miniature's zip file, or none for the package's own")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(archive) as packed:
            members = _checked(packed, archive)
            if _holds(folder, members):
                return folder
            _refuse(folder, overwrite)
            for member in members:
                place = temporary / member.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(packed.read(member))  # checks the CRC
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: damaged or not a miniature ({error}): install deepgllim again") from error
    except OSError as error:
        raise DataError(
            f"{folder}: the miniature cannot be unpacked ({error}); check the folder and the space left"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def pack_miniature(folder: Path, path: Path) -> int:
    """Pack a rendered `folder:` set as a miniature. The file is reproducible.

    Images are copied and renamed in the order of the manifest. Of the manifest, `COLUMNS` are kept, with boxes to a
    tenth of a pixel and angles to a hundredth of a degree.

    Args:
        folder: folder of the rendered set, with manifest.csv.
        path: path of the file, which is written atomically.

    Returns:
        The size of the file in bytes.

    Raises:
        DataError: the manifest lacks columns or rows, an image is missing, or the file cannot be written.
    """
    rows = list(_rows(folder / "manifest.csv"))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    pictures = []
    for index, row in enumerate(rows):
        name = f"images/{index:04d}.jpg"
        pictures.append((name, _picture(folder / row["path"])))
        box = [f"{float(row[edge]):.1f}" for edge in COLUMNS[2:6]]
        angles = [f"{float(row[angle]):.2f}" for angle in COLUMNS[6:]]
        writer.writerow([name, row["subject"], *box, *angles])
    members = [("README.txt", README.encode()), ("manifest.csv", table.getvalue().encode()), *pictures]
    write_atomically(path, lambda place: _write(place, members))
    return path.stat().st_size


def _write(place: Path, members: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as packed:
        for name, content in members:
            info = zipfile.ZipInfo(name, _CHANGED)
            info.create_system, info.external_attr = 3, 0o644 << 16  # as on Unix, on every platform
            packed.writestr(info, content)


def _rows(manifest: Path) -> Iterator[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise DataError(f"{manifest}: column {absent[0]!r} is absent; give a rendered folder set's manifest")
            rows = list(reader)
    except OSError as error:
        raise DataError(f"{manifest}: cannot be read ({error.strerror}); render a set with layout folder") from error
    if not rows:
        raise DataError(f"{manifest}: the table is empty; it needs a row for each picture")
    yield from rows


def _picture(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: the picture cannot be read ({error.strerror}); render the set again") from error
    if not content.startswith(b"\xff\xd8"):
        raise DataError(f"{path}: not a JPEG picture; render the set with layout folder")
    return content


def _checked(packed: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    """Return the members of the archive, which must have the names of a miniature."""
    members = packed.infolist()
    names = [member.filename for member in members]
    strange = [name for name in names if not _MEMBER.fullmatch(name)]
    if strange or len(set(names)) < len(names) or "manifest.csv" not in names:
        what = f"it holds {strange[0]!r}" if strange else "it holds no manifest.csv, or a name twice"
        raise DataError(f"{archive}: not a miniature: {what}; make it with `{COMMAND}`")
    size = sum(member.file_size for member in members)
    if size > _MOST_BYTES:
        raise DataError(f"{archive}: not a miniature: {size:,} bytes unpacked, at most {_MOST_BYTES:,} are read")
    return members


def _holds(folder: Path, members: list[zipfile.ZipInfo]) -> bool:
    """Return whether the folder has exactly these files, with these contents."""
    if _files(folder) != {member.filename for member in members}:
        return False
    return all(
        (folder / member.filename).stat().st_size == member.file_size
        and zlib.crc32((folder / member.filename).read_bytes()) == member.CRC
        for member in members
    )


def _refuse(folder: Path, overwrite: bool) -> None:
    """Raise a DataError if writing the set would delete files."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} exists and is not a folder: give another one for the miniature")
    others = sorted(name for name in _files(folder) if not _MEMBER.fullmatch(name))
    if others:
        raise DataError(f"{folder} holds {others[0]}, which is not of a miniature: give another folder for it")
    if _files(folder) and not overwrite:
        raise DataError(f"{folder} holds another miniature, or a changed one: give another folder, or overwrite it")


def _files(folder: Path) -> set[str]:
    return {place.relative_to(folder).as_posix() for place in folder.rglob("*") if not place.is_dir()}
