"""The pictures of a shard, one at a time."""

from collections.abc import Iterator
from typing import Any

from deepgllim.errors import DataError, ImageError
from deepgllim.pose.batch.sources import printable
from deepgllim.pose.scoring.archives import read_archive
from deepgllim.pose.scoring.entries import ShardEntry, is_damage, too_long
from deepgllim.pose.scoring.locations import Location, first_line, open_location, read_file, resolve_entry
from deepgllim.pose.scoring.shards import Shard
from deepgllim.pose.scoring.tables import read_images


def read_entries(shard: Shard, image_column: str | None = None) -> Iterator[ShardEntry]:
    """Yield the pictures of a shard. That of a damaged shard ends with an entry that has the reason.

    Args:
        shard: the shard.
        image_column: as in `ScoringOptions`.

    Raises:
        DataError: the shard cannot be read; another attempt may succeed.
    """
    if shard.problem is not None:
        raise DataError(shard.problem)
    place = open_location(shard.location)
    if shard.kind == "pictures":
        yield from (_picture(place, key) for key in shard.keys)
        return
    try:
        with _opened(place) as file:
            yield from read_archive(file) if shard.kind == "archive" else read_images(file, image_column)
    except DataError:
        raise
    except Exception as error:  # file systems raise classes of their own
        if not is_damage(error):
            raise DataError(f"cannot be read ({first_line(error)}): check its permissions") from error
        reason = f"the shard is damaged ({first_line(error)}): pictures after this point are lost; copy it again"
        yield ShardEntry(shard.name, problem=reason, damaged=True)


def _opened(place: Location) -> Any:
    cause = place.irregular()
    if cause is not None:
        raise DataError(cause)
    return place.files.open(place.path, "rb")


def _picture(folder: Location, key: str) -> ShardEntry:
    failed = too_long(key)
    if failed is not None:
        return failed
    try:
        return ShardEntry(printable(key), read_file(folder.at(resolve_entry(folder, key))))
    except ImageError as error:
        return ShardEntry(printable(key), problem=str(error))
