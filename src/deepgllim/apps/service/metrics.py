"""Metrics in the format of Prometheus: `Metrics`."""

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from deepgllim import __version__
from deepgllim.apps.service.record import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper limits of the bins of durations."""

PICTURES = (1, 2, 4, 8, 16, 32, 64)
"""Upper limits of the bins of sizes of batches."""


class Metrics:
    """The metrics of one application, in a registry of their own.

    Args:
        waiting: function that returns the number of pictures that wait for a batch.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("deepgllim_build", "Version of the package.", registry=registry).info({"version": __version__})
        self._answered = Counter(
            "deepgllim_requests", "Answered requests.", ("method", "path", "status"), registry=registry
        )
        self._seconds = Histogram(
            "deepgllim_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("path",),
            buckets=SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge("deepgllim_requests_in_progress", "Requests in progress.", registry=registry)
        self._stages = Histogram(
            "deepgllim_stage_seconds",
            "Seconds of upload, decoding, waiting for a batch, and its prediction.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "deepgllim_batch_pictures", "Pictures in a batch.", buckets=PICTURES, registry=registry
        )
        self._faces = Counter(
            "deepgllim_faces",
            "Predicted faces, by whether they resemble the training data.",
            ("accepted",),
            registry=registry,
        )
        self._bytes = Counter("deepgllim_upload_bytes", "Bytes of complete uploads.", registry=registry)
        self._last_batch = Gauge("deepgllim_last_batch_timestamp_seconds", "Time of the last batch.", registry=registry)
        Gauge("deepgllim_pictures_waiting", "Pictures that wait for a batch.", registry=registry).set_function(waiting)

    def observe_batch(self, pictures: int, _: float) -> None:
        """Count a batch.

        Args:
            pictures: number of pictures.
        """
        self._batches.observe(pictures)
        self._last_batch.set(time.time())

    def observe_request(self, record: RequestRecord, method: str, path: str, status: int) -> None:
        """Count an answered request.

        Args:
            record: its record.
            method: its method.
            path: the path of its route, or "other".
            status: status of the answer.
        """
        self._answered.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(time.perf_counter() - record.began)
        for stage, seconds in record.seconds.items():
            self._stages.labels(stage).observe(seconds)
        self._bytes.inc(record.size)
        self._faces.labels("true").inc(record.accepted)
        self._faces.labels("false").inc(record.faces - record.accepted)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus, version 0.0.4."""
        return generate_latest(self._registry)
