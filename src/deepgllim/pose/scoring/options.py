"""Options of a scoring, and the result of a shard."""

from typing import NamedTuple


class ScoringOptions(NamedTuple):
    """Options that the rows depend on.

    Attributes:
        model: absolute path of the exported model; None for the one in the package.
        digest: SHA-256 of its file.
        detector: name of the face detector; None if each picture is the crop of one face.
        level: probability of the intervals.
        batch: largest number of pictures that are predicted together.
        shard_size: number of pictures of a shard, for folders of pictures and manifests.
        image_column: name of the column with the files of the pictures in Parquet; None to find it.
        threads: number of threads of the network and the detector.
    """

    model: str | None
    digest: str
    detector: str | None = "blazeface"
    level: float = 0.9
    batch: int = 16
    shard_size: int = 1000
    image_column: str | None = None
    threads: int = 1


class ShardResult(NamedTuple):
    """The result of a shard.

    Attributes:
        name: name of the output file, relative to the output folder.
        pictures: number of pictures.
        faces: number of faces.
        without_face: number of pictures without a face.
        failed: number of pictures that could not be read or predicted.
        problem: why the shard is incomplete or could not be scored; None if it is complete.
        reused: whether the shard was finished by an earlier run.
        fatal: whether the output cannot be written, so that further shards would fail as well.
    """

    name: str
    pictures: int = 0
    faces: int = 0
    without_face: int = 0
    failed: int = 0
    problem: str | None = None
    reused: bool = False
    fatal: bool = False
