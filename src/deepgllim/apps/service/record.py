"""What is known about one request: `RequestRecord`, for its log line and the metrics."""

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class RequestRecord:
    """Measurements of one request; it contains neither the picture nor a name.

    Attributes:
        identifier: the header X-Request-ID, or a random number.
        size: bytes of the upload.
        pixels: pixels of the picture.
        faces: number of faces.
        accepted: number of faces that resemble the training data.
        batch: number of pictures that were predicted together.
        seconds: durations of "upload", "decode", "wait" and "predict".
        running: whether the prediction has begun.
        abandoned: whether nobody waits for the answer.
        outcome: a status that replaces that of the answer, for a client that disconnected.
    """

    identifier: str
    size: int = 0
    pixels: int = 0
    faces: int = 0
    accepted: int = 0
    batch: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    running: bool = False
    abandoned: bool = False
    outcome: int | None = None
    began: float = field(default_factory=time.perf_counter)

    def fields(self) -> dict[str, Any]:
        """Return the entries of the log line; durations that were not measured are left out.

        Example:
            >>> RequestRecord("a", size=9, seconds={"decode": 0.25}).fields()
            {'id': 'a', 'bytes': 9, 'pixels': 0, 'faces': 0, 'batch': 0, 'decode_seconds': 0.25}
        """
        counts = {"bytes": self.size, "pixels": self.pixels, "faces": self.faces, "batch": self.batch}
        times = {f"{name}_seconds": round(value, 6) for name, value in self.seconds.items()}
        return {"id": self.identifier, **counts, **times}


def identifier(given: str | None) -> str:
    """Return the identifier that a client gives, if it is short and plain, or a random one.

    Example:
        >>> identifier("a-1"), len(identifier("holiday photo.jpg"))
        ('a-1', 32)
    """
    return given if given is not None and _IDENTIFIER.fullmatch(given) else uuid.uuid4().hex
