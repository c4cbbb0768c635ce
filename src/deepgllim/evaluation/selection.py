"""The faces of a data set that can be used."""

from deepgllim.data import Manifest, check_images, drop_unreadable
from deepgllim.errors import DataError


def readable_faces(faces: Manifest, skip_unreadable: bool) -> tuple[Manifest, int]:
    """The faces whose pictures can be read, and how many were left out.

    Raises:
        DataError: some cannot, and `skip_unreadable` is false.
    """
    broken = check_images(faces)
    if broken and not skip_unreadable:
        path, cause = broken[0]
        raise DataError(
            f"{len(broken)} of {len(faces)} pictures cannot be read, first {path} ({cause}): mend them or give "
            "--skip-unreadable"
        )
    return (drop_unreadable(faces, broken) if broken else faces), len(broken)


def evenly_spaced(faces: Manifest, limit: int | None) -> Manifest:
    """At most `limit` faces, evenly spaced; all of them when None.

    Raises:
        DataError: a limit below one.
    """
    if limit is None or len(faces) <= limit:
        return faces
    if limit < 1:
        raise DataError(f"limit {limit}: give one face or more")
    return faces.subset([i * len(faces) // limit for i in range(limit)])
