"""The table of commands, and `main`: parse the arguments, run the command, and report an error in one line."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from cyclopts import App, CycloptsError, ValidationError

from deepgllim import __version__
from deepgllim.cli.console import SilentError, complain
from deepgllim.cli.options import UsageError
from deepgllim.cli.streams import OutputError, ReaderGoneError, discard, standard_streams
from deepgllim.errors import ConvergenceWarning, DeepGLLiMError, EmptyComponentWarning, TrainingWarning


class Command(NamedTuple):
    """A command, which is imported when it is called.

    Attributes:
        path: module and name of the function.
        summary: its line in `deepgllim --help`, which is printed without importing the function.
    """

    path: str
    summary: str


COMMANDS = {
    "train": Command("deepgllim.cli.train:train", "Train a model on labelled images of faces."),
    "evaluate": Command(
        "deepgllim.cli.evaluate:evaluate", "Evaluate a trained model: errors and calibration of its intervals."
    ),
    "predict": Command(
        "deepgllim.cli.predict.command:predict", "Predict the poses of all heads in images, videos or a camera stream."
    ),
    "score": Command(
        "deepgllim.cli.score:score",
        "Predict the poses of all heads in a large set of pictures, and write Parquet files.",
    ),
    "app": Command(
        "deepgllim.cli.webapp:app",
        "Serve a page that predicts the head poses in pictures, with intervals, until Ctrl-C.",
    ),
    "serve": Command(
        "deepgllim.cli.serve:serve", "Serve an HTTP interface that predicts head poses, and the page, until SIGTERM."
    ),
    "export": Command("deepgllim.cli.export:export", "Write a trained model to one ONNX file."),
    "calibrate": Command(
        "deepgllim.cli.calibrate:calibrate", "Recalibrate the predicted covariances of an exported model."
    ),
    "doctor": Command(
        "deepgllim.cli.doctor:doctor", "Measure how sensitive a model is to changes of the image and of the face box."
    ),
    "data check": Command("deepgllim.cli.data:check", "Check a data set before training, and summarize it."),
    "render": Command(
        "deepgllim.cli.render:render", "Render images of synthetic heads with exact poses, boxes and landmarks."
    ),
    "demo": Command(
        "deepgllim.cli.demo:demo",
        "Train inverse regression and least squares on the 2,000 synthetic heads of the package, and write a report.",
    ),
    "recipes": Command("deepgllim.cli.recipes:recipes", "List the recipes of the package, or print one recipe."),
}
"""Commands by name; the name of a command in a group has two words."""

GROUPS = {"data": "Work with data sets."}
"""Groups of commands, with their summaries."""

EXTRAS = {"moderngl": "render", "glcontext": "render", "filelock": "render", "fsspec": "score", "ray": "ray"}
"""The extra that installs an optional dependency; all other dependencies are in `train`."""

WITHOUT_TORCH = ("deepgllim.cli.calibrate", "deepgllim.cli.doctor", "deepgllim.cli.data")
"""Commands that need pandas and nothing else of the extra `train`, unless they plot or read Parquet."""

OWN_WARNINGS = (EmptyComponentWarning, ConvergenceWarning, TrainingWarning)


def make_app(called: str = "") -> App:
    """Return the parser of the command line.

    Args:
        called: name of the command that is called; its help is its docstring, that of the others is their summary.
    """
    app = App(
        name="deepgllim",
        help="Deep mixtures of linear inverse regressions: head poses from images, with predictive distributions.",
        version=__version__,
        help_format="plaintext",
    )
    for name, text in GROUPS.items():
        app.command(App(name=name, help=text))
    for name, command in COMMANDS.items():
        *group, last = name.split()
        summary = None if name == called else command.summary
        parser_of(app, group).command(command.path, name=last, help=summary, help_format="markdown")
    return app


def parser_of(app: App, words: Sequence[str]) -> App:
    """Return the parser of a command or group by the words of its name; for no words, the parser itself."""
    for word in words:
        app = app[word]
    return app


def command_name(tokens: Sequence[str]) -> str:
    """Return the name of the command or group that is called, or an empty string.

    Example:
        >>> command_name(["data", "check", "folder:faces"]), command_name(["trian"])
        ('data check', '')
    """
    names = (" ".join(tokens[:count]) for count in (2, 1))
    return next((name for name in names if name in COMMANDS or name in GROUPS), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the name of the program; by default those of the process.

    Returns:
        The exit code: 0 for success; 1 for data, models, options or files that cannot be used; 2 for invalid arguments;
        130 after Ctrl-C.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    with standard_streams(), one_line_warnings():
        return flushed(_call(tokens))


def _call(tokens: Sequence[str]) -> int:
    name = command_name(tokens)
    try:
        command, bound, _ = make_app(name).parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(f"{_refusal(error)} (see deepgllim {name + bool(name) * ' '}--help)", 2)
    return run(command, *bound.args, **bound.kwargs)


def _refusal(error: CycloptsError) -> str:
    """Return the message for arguments that cannot be parsed, without repeating a value that it begins with."""
    if isinstance(error, ValidationError) and error.argument and error.exception_message.startswith("'"):
        return f"{error.argument.name} {error.exception_message}"
    return str(error)


def flushed(code: int) -> int:
    """Flush the standard streams and return the exit code, which becomes 1 if standard output cannot be written."""
    try:
        sys.stdout.flush()
    except OutputError as error:
        discard(sys.stdout)
        code = code or _output_failure(error)
    try:
        with suppress(AttributeError):  # it is closed
            sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    return code


def _output_failure(error: OutputError) -> int:
    """Report that standard output cannot be written, unless its reader has closed it, and return the exit code."""
    return 1 if isinstance(error, ReaderGoneError) else _fail(error, 1)


def run(command: Callable[..., Any], *args: Any, **options: Any) -> int:
    """Call a command and return its exit code; unexpected errors are raised with their traceback."""
    try:
        command(*args, **options)
    except UsageError as error:
        return _fail(error, 2)
    except OutputError as error:
        discard(sys.stdout)
        return _output_failure(error)
    except DeepGLLiMError as error:
        return _fail(error, 1)
    except SilentError as error:
        return error.code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("deepgllim"):
            raise
        return _fail(f"{error.name} is not installed: install it with {_installation(error.name, command)}", 1)
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}: check the path, its permissions and the space left", 1)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{': ' if stop.args else ''}{' '.join(map(str, stop.args))}", 130)
    return 0


def _installation(module: str, command: Callable[..., Any]) -> str:
    """Return the call of pip that installs a missing module; commands that read tables only need no torch."""
    if module == "pandas" and command.__module__ in WITHOUT_TORCH:
        return "pip install pandas"
    return f"pip install 'deepgllim[{EXTRAS.get(module, 'train')}]'"


def _fail(text: object, code: int) -> int:
    complain(text)
    return code


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print each warning of the package in one line; warnings of other packages are not changed."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def brief(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
            if issubclass(category, OWN_WARNINGS):
                complain(f"warning: {message}")
            else:
                show(message, category, *rest, **options)

        for category in OWN_WARNINGS:
            warnings.simplefilter("always", category)
        warnings.showwarning = brief
        yield
