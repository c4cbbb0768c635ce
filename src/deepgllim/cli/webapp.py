"""`deepgllim app`."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from deepgllim.cli.console import complain, results
from deepgllim.cli.options import whole_number

STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that stop the server; some do not exist on all systems."""

Port = Annotated[int | None, Parameter(converter=whole_number, validator=validators.Number(gte=1, lte=65535))]
Millions = Annotated[float, Parameter(validator=validators.Number(gte=0.001, lte=1e6))]
Positive = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1e6))]


def app(
    *,
    model: Path | None = None,
    detector: str = "blazeface",
    host: str = "127.0.0.1",
    port: Port = None,
    allow_host: list[str] | None = None,
    max_megabytes: Millions = 20.0,
    max_megapixels: Millions = 40.0,
) -> None:
    """Serve a page that predicts the head poses in pictures, with intervals, until Ctrl-C.

    Only this machine can open the page, unless `--host` is given. Pictures are neither written to the disk nor sent to
    other servers.

    ```
    deepgllim app
    ```

    Args:
        model: An exported model, `.onnx`; by default the one in the package.
        detector: Face detector: blazeface or centerface.
        host: Address to listen on; 0.0.0.0 accepts connections of other machines.
        port: Port; by default the first free one from 7860.
        allow_host: Additional host name of the page, such as that of a proxy; can be repeated.
        max_megabytes: Largest size of an upload.
        max_megapixels: Largest number of pixels of a picture; larger pictures are rejected before they are decoded.
    """
    from deepgllim.apps.http.limits import Limits
    from deepgllim.apps.http.server import load_server
    from deepgllim.apps.web.examples import example_images
    from deepgllim.apps.web.page import serve
    from deepgllim.pose.predictor import HeadPose

    load_server("app")
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
            warn_if_public(host)
            results().print(f"open {server.url} in a browser; stop with Ctrl-C")
            while not stopped.wait(1.0):  # without a limit, Windows would not see Ctrl-C
                pass


def warn_if_public(host: str) -> None:
    """Print a warning if other machines can reach the page."""
    from deepgllim.apps.http.guard import is_local

    if not is_local(host):
        complain(f"warning: every machine that can reach {host} can use this page")


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that the signals of `STOPS` set, except signals that are ignored, as under nohup."""
    stopped = threading.Event()
    before = {
        number: handler
        for name in STOPS
        if (number := getattr(signal, name, None)) is not None
        and (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def stop(number: int, _: Any) -> None:
        """Set the event, and restore the previous handler for a second signal."""
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
