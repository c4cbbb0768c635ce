"""Selection of the faces of a data set that can be used."""

from deepgllim.data import Manifest, check_images, drop_unreadable
from deepgllim.errors import DataError


def readable_faces(faces: Manifest, skip_unreadable: bool) -> tuple[Manifest, int]:
    """Return the faces whose pictures can be read, and the number of the others.

    Raises:
        DataError: if there are others, and `skip_unreadable` is False.
    """
    broken = check_images(faces)
    if broken and not skip_unreadable:
        path, cause = broken[0]
        raise DataError(
            f"{len(broken)} of {len(faces)} pictures cannot be read, first {path} ({cause}): fix them, or give "
            "--skip-unreadable"
        )
    return (drop_unreadable(faces, broken) if broken else faces), len(broken)


def evenly_spaced(faces: Manifest, limit: int | None) -> Manifest:
    """Return at most `limit` faces, evenly spaced, or all of them if it is None.

    Raises:
        DataError: if the limit is below one.
    """
    if limit is None or len(faces) <= limit:
        return faces
    if limit < 1:
        raise DataError(f"limit {limit}: give at least one face")
    return faces.subset([i * len(faces) // limit for i in range(limit)])
