"""Parquet files as input: pictures in a column of bytes, or paths in a column of texts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from deepgllim.errors import DataError, ImageError
from deepgllim.pose.scoring.entries import ShardEntry, too_long
from deepgllim.pose.scoring.locations import checked_content

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "bytes", "content", "picture")
"""Names of the column with the files of pictures: of bytes, or of structures with the field `bytes`."""

KEY_COLUMNS = ("key", "__key__", "path", "file_name", "filename", "name", "id")
"""Names of the column with the keys of pictures."""

PATH_COLUMN = "path"
"""Name of the column of a manifest with the paths of pictures."""

_ROWS = 1  # rows in memory at a time; a dictionary can make many large pictures of a small file
_BUFFER = 1 << 20  # bytes that are read at a time


class Columns(NamedTuple):
    """Columns of a Parquet file.

    Attributes:
        image: column of pictures; None if there is none.
        key: column of keys; None if there is none.
    """

    image: str | None
    key: str | None


def open_table(file: Any) -> Any:
    """Return an open Parquet file that is read in small parts."""
    from pyarrow import parquet

    return parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)


def find_columns(schema: Any, image_column: str | None) -> Columns:
    """Return the columns of pictures and keys.

    Args:
        schema: schema of pyarrow.
        image_column: name of the column of pictures; None to find it.

    Raises:
        DataError: there is no column of the given name with bytes.
    """
    names = (image_column,) if image_column is not None else IMAGE_COLUMNS
    twice = next((name for name in (*names, *KEY_COLUMNS) if schema.names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"has several columns {twice!r}: rename all but one")
    found = next((name for name in names if name in schema.names and _holds_bytes(schema.field(name).type)), None)
    if image_column is not None and found is None:
        given = ", ".join(schema.names[:20])
        raise DataError(f"has no column {image_column!r} of bytes, only {given}: correct --image-column")
    key = next((name for name in KEY_COLUMNS if name in schema.names and _holds_texts(schema.field(name).type)), None)
    return Columns(found, key)


def read_images(file: Any, image_column: str | None) -> Iterator[ShardEntry]:
    """Yield the pictures of a Parquet file; a picture without a key has the number of its row as key.

    Raises:
        DataError: there is no column of pictures.
        ValueError, OSError: the file is damaged or cannot be read.
    """
    table = open_table(file)
    image, key = find_columns(table.schema_arrow, image_column)
    if image is None:
        raise DataError(f"has no column of pictures ({', '.join(IMAGE_COLUMNS)}): name it by --image-column")
    number = 0
    for batch in table.iter_batches(_ROWS, columns=[image, *filter(None, [key])], use_threads=False):
        keys = [None] * batch.num_rows if key is None else batch.column(key).to_pylist()
        for value, name in zip(batch.column(image), keys, strict=True):
            yield _entry(str(number) if name is None else name, value.as_py())
            number += 1


def read_paths(file: Any) -> Iterator[str]:
    """Yield the paths of a manifest in Parquet; a missing path is empty."""
    for batch in open_table(file).iter_batches(4096, columns=[PATH_COLUMN], use_threads=False):
        yield from ("" if path is None else str(path) for path in batch.column(PATH_COLUMN).to_pylist())


def _entry(key: str, value: Any) -> ShardEntry:
    content = value.get("bytes") if isinstance(value, dict) else value
    failed = too_long(key)
    if failed is not None:
        return failed
    if content is None:
        return ShardEntry(key, problem="the row of the table has no picture")
    try:
        return ShardEntry(key, checked_content(content))
    except ImageError as error:
        return ShardEntry(key, problem=str(error))


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(kind.field(n).name == "bytes" and _is_binary(kind.field(n).type) for n in range(kind.num_fields))
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _holds_texts(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))
