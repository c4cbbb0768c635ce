"""Manifests: CSV and Parquet files with a column `path`."""

import csv
from collections.abc import Iterator
from typing import Any

from deepgllim.errors import DataError
from deepgllim.pose.scoring.locations import Location, first_line
from deepgllim.pose.scoring.tables import PATH_COLUMN, find_columns, open_table, read_paths


def is_manifest(place: Location) -> bool:
    """Return whether a file is a manifest: CSV, or Parquet with a column `path` and without pictures.

    Raises:
        DataError: a Parquet file cannot be read.
    """
    cause = place.irregular()
    if cause is not None:
        raise DataError(f"{place.url}: {cause}")
    if not place.path.lower().endswith(".parquet"):
        return place.path.lower().endswith(".csv")
    try:
        with place.files.open(place.path, "rb") as file:
            schema = open_table(file).schema_arrow
        return PATH_COLUMN in schema.names and find_columns(schema, None).image is None
    except DataError as error:
        raise DataError(f"{place.url}: {error}") from error
    except Exception as error:  # file systems raise classes of their own
        raise _unreadable(place, error) from error


def manifest_paths(place: Location) -> Iterator[str]:
    """Yield the paths of a manifest, one row at a time.

    Raises:
        DataError: the manifest cannot be read or has no column `path`.
    """
    try:
        if place.path.lower().endswith(".csv"):
            with place.files.open(place.path, "r", encoding="utf-8-sig", newline="") as file:
                yield from _csv_paths(place, file)
        else:
            with place.files.open(place.path, "rb") as file:
                yield from read_paths(file)
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(place, error) from error


def _csv_paths(place: Location, file: Any) -> Iterator[str]:
    rows = csv.DictReader(file, strict=True)
    if PATH_COLUMN not in (rows.fieldnames or ()):
        raise DataError(
            f"{place.url}: has no column {PATH_COLUMN!r}: name the column of the paths so in its first line"
        )
    yield from (row[PATH_COLUMN] or "" for row in rows)


def _unreadable(place: Location, error: BaseException) -> DataError:
    return DataError(f"{place.url}: cannot be read ({first_line(error)}): check its permissions, or write it again")
