"""The page and its server, with gradio."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from deepgllim.errors import ConfigurationError
from deepgllim.webapp.answers import PredictsPoses, answer, digest
from deepgllim.webapp.guide import guide

MAX_MEGABYTES = 20
MAX_PIXELS = 40_000_000
FONTS = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]

CSS = """
.dg-picture { max-width: 100%; border-radius: 8px; display: block; margin: 0 auto; }
.dg-card { border: 1px solid var(--border-color-primary); border-radius: 8px; }
.dg-card { padding: 4px 14px 12px; margin-bottom: 12px; }
.dg-card h3 { margin: 8px 0; }
.dg-verdict { padding: 6px 10px; border-radius: 6px; border-left: 6px solid #8a8f98; margin: 6px 0; }
.dg-known { border-left-color: #1a7f37; }
.dg-unknown { border-left-color: #c62828; font-weight: 600; }
.dg-words { margin: 8px 0; }
.dg-angles { border-collapse: collapse; width: 100%; border: 0 !important; }
.dg-angles th, .dg-angles td { text-align: left; padding: 4px 10px 4px 0 !important; border: 0 !important; }
.dg-angles tr { border-bottom: 1px solid var(--border-color-primary) !important; }
.dg-sorry { padding: 10px; border-radius: 6px; border-left: 6px solid #b26a00; }
"""


class Server(NamedTuple):
    """A page that is being served.

    Attributes:
        url: where.
        folder: the private folder of uploads, deleted with the server.
    """

    url: str
    folder: Path


def make_page(predictor: PredictsPoses, examples: Sequence[Path] = (), max_pixels: int = MAX_PIXELS) -> Any:
    """The page, a `gradio.Blocks`.

    Args:
        predictor: of poses.
        examples: pictures to try.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        ConfigurationError: gradio is not installed.
    """
    gr = load_gradio()
    with gr.Blocks(title="deepgllim: head pose", analytics_enabled=False, delete_cache=(60, 60)) as page:
        gr.Markdown("# Head pose, and how sure it is\nNothing leaves this machine, and no picture is kept.")
        with gr.Tab("Picture"), gr.Row():
            with gr.Column(min_width=320):
                given = gr.Image(
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    label="A picture with faces",
                    height=380,
                    elem_id="given",
                    buttons=[],
                )
                if examples:
                    rows = [[str(path)] for path in examples]
                    gr.Examples(rows, given, label="Or try one of these (rendered, nobody real)")
            with gr.Column(min_width=320):
                drawn = gr.HTML(elem_id="drawn")
                words = gr.HTML(elem_id="words")
        with gr.Tab("How to read it"):
            gr.HTML(guide())
        own = frozenset(map(digest, examples))

        def judge(path: str | None) -> tuple[str, str]:
            found = answer(predictor, path, max_pixels, own)
            return found.picture, found.words

        given.change(judge, given, [drawn, words], api_name="judge", show_progress="minimal")
    return page


@contextmanager
def serve(
    predictor: PredictsPoses,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    examples: Sequence[Path] = (),
    max_megabytes: float = MAX_MEGABYTES,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Server]:
    """Serve the page until the block ends; uploads lie in a folder of this process alone, which goes with it.

    Args:
        predictor: of poses.
        host: address to listen at; 127.0.0.1 is this machine alone.
        port: a free one from 7860 on when None.
        examples: pictures to try.
        max_megabytes: larger uploads are refused.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        ConfigurationError: gradio is not installed, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="deepgllim-app-") as folder, _environment(folder):
        gr = load_gradio()
        page = make_page(predictor, examples, max_pixels)
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                share=False,
                quiet=True,
                show_error=True,
                max_file_size=f"{max_megabytes:g}mb",
                footer_links=[],
                theme=gr.themes.Default(font=FONTS, font_mono=["monospace"]),
                css=CSS,
                allowed_paths=[str(path.parent) for path in examples],
                ssr_mode=False,
            )
        except OSError as error:
            raise ConfigurationError(f"port {port} at {host}: {error}; give another --port") from error
        try:
            yield Server(url, Path(folder))
        finally:
            page.close(verbose=False)


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Where gradio keeps uploads, and that it calls nobody; as it was afterwards."""
    wanted = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def load_gradio() -> Any:
    """The package gradio.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise ConfigurationError(f"the page needs gradio ({error}): pip install 'deepgllim[app]'") from error
    return gradio
