"""The server of the service."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from deepgllim.apps.http.server import Server, listen, load_server, running_server
from deepgllim.apps.service.batching import BatchPredictor
from deepgllim.apps.service.options import ServiceOptions

_LOG = logging.getLogger(__name__)


@contextmanager
def serve(
    load: Callable[[], BatchPredictor],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    examples: Sequence[bytes] = (),
    options: ServiceOptions | None = None,
    allow_hosts: Sequence[str] = (),
) -> Iterator[Server]:
    """Serve until the block ends, and then until the accepted requests are answered.

    Args:
        load: function that returns the predictor of poses, which several threads can use. It is called after the port
            has been opened; connections wait until it returns.
        host: address to listen on; 127.0.0.1 accepts connections of this machine only.
        port: port to listen on; 0 for any free one.
        examples: contents of JPEG files for the examples of the page.
        options: limits of the requests, batches and times.
        allow_hosts: additional host names that are accepted.

    Raises:
        ConfigurationError: a package is not installed, or the address cannot be used.
    """
    load_server("serve", "prometheus_client")
    from deepgllim.apps.http.guard import host_rule
    from deepgllim.apps.service.application import create_app

    options = options or ServiceOptions()
    with listen(host, (port,)) as listening:
        app = create_app(load(), options, examples=examples, known_host=host_rule(host, allow_hosts))
        with running_server(app, listening, host, options.stop_seconds) as server:
            _LOG.info("started", extra={"fields": {"url": server.url, "port": server.port}})
            yield server
            app.state.stopping = True
            _LOG.info("stopping", extra={"fields": {"longest_seconds": options.stop_seconds}})
        _LOG.info("stopped")
