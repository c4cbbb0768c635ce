"""`deepgllim serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from deepgllim.cli.options import Count, whole_number
from deepgllim.cli.webapp import Millions, Positive, stop_signals

if TYPE_CHECKING:
    from deepgllim.apps.service.options import ServiceOptions

Port = Annotated[int, Parameter(converter=whole_number, validator=validators.Number(gte=0, lte=65535))]
Wait = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1e4))]


def serve(
    *,
    model: Path | None = None,
    detector: str = "blazeface",
    host: str = "127.0.0.1",
    port: Port = 8000,
    allow_host: list[str] | None = None,
    max_megabytes: Millions = 20.0,
    max_megapixels: Millions = 40.0,
    max_requests: Count = 32,
    batch_size: Count = 8,
    batch_wait: Wait = 5.0,
    workers: Count = 1,
    threads: Count | None = None,
    timeout: Positive = 30.0,
    stop_timeout: Positive = 30.0,
) -> None:
    """Serve an HTTP interface that predicts head poses, and the page, until SIGTERM.

    `POST /v1/poses` takes the bytes of a picture and returns the poses of all faces. `/openapi.json` describes the
    interface, `/healthz` and `/readyz` return the state, and `/metrics` the metrics. Logs are lines of JSON on standard
    error. A signal ends the server after it has answered the requests that it has accepted.

    ```
    deepgllim serve --port 8000
    curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/poses
    ```

    Args:
        model: An exported model, `.onnx`; by default the one in the package.
        detector: Face detector: blazeface or centerface.
        host: Address to listen on; 0.0.0.0 accepts connections of other machines.
        port: Port; 0 for any free one.
        allow_host: Additional host name of the server, such as that of a proxy; can be repeated.
        max_megabytes: Largest size of an upload.
        max_megapixels: Largest number of pixels of a picture, and of all pictures that are decoded at the same time.
        max_requests: Largest number of pictures in progress; further ones get the status 429.
        batch_size: Largest number of pictures that are predicted together.
        batch_wait: Longest time for which a picture waits for others that are being decoded, milliseconds.
        workers: Number of batches that are predicted at the same time.
        threads: Number of threads of each prediction; by default the number of cores.
        timeout: Longest time from the end of an upload to its answer, seconds.
        stop_timeout: Longest time for the requests in progress after a signal, seconds.
    """
    from deepgllim.apps.http.limits import Limits
    from deepgllim.apps.service.options import ServiceOptions

    limits = Limits(
        max_bytes=round(1e6 * max_megabytes), max_pixels=round(1e6 * max_megapixels), max_requests=max_requests
    )
    options = ServiceOptions(limits, batch_size, batch_wait / 1e3, workers, timeout, stop_timeout)
    _run(model, detector, threads, host, port, allow_host or [], options)


def _run(
    model: Path | None,
    detector: str,
    threads: int | None,
    host: str,
    port: int,
    allow_hosts: list[str],
    options: "ServiceOptions",
) -> None:
    """Serve until a signal."""
    from deepgllim.apps.service import server
    from deepgllim.apps.service.logs import log_as_json
    from deepgllim.apps.web.examples import example_images
    from deepgllim.pose.predictor import HeadPose

    log_as_json()
    serving = server.serve(
        lambda: HeadPose(model, detector, threads),
        host=host,
        port=port,
        examples=example_images(),
        options=options,
        allow_hosts=allow_hosts,
    )
    with stop_signals() as stopped, serving:
        while not stopped.wait(1.0):  # without a limit, Windows would not see Ctrl-C
            pass
