"""The commands' table, and `main`: parse, run, and turn every expected failure into one line and an exit code."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from cyclopts import App, CycloptsError

from deepgllim import __version__
from deepgllim.cli.calibrate import calibrate
from deepgllim.cli.console import complain
from deepgllim.cli.data import check
from deepgllim.cli.demo import demo
from deepgllim.cli.doctor import doctor
from deepgllim.cli.evaluate import evaluate
from deepgllim.cli.export import export
from deepgllim.cli.options import UsageError
from deepgllim.cli.predict.command import predict
from deepgllim.cli.recipes import recipes
from deepgllim.cli.render import render
from deepgllim.cli.streams import OutputError, ReaderGoneError, discard, standard_streams
from deepgllim.cli.train import train
from deepgllim.cli.webapp import app as webapp
from deepgllim.errors import ConvergenceWarning, DeepGLLiMError, EmptyComponentWarning, TrainingWarning

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "app": webapp,
    "export": export,
    "calibrate": calibrate,
    "doctor": doctor,
    "data check": check,
    "render": render,
    "demo": demo,
    "recipes": recipes,
}
"""Commands by name, of two words where they belong to a group; the reference is generated from it too."""

GROUPS = {"data": "Data sets."}
"""What the commands of a group are about."""

EXTRAS = {"moderngl": "render", "glcontext": "render", "filelock": "render"}
"""Which optional dependencies a module comes with; all others come with `train`."""

OWN_WARNINGS = (EmptyComponentWarning, ConvergenceWarning, TrainingWarning)


def make_app() -> App:
    """The parser of the command line."""
    app = App(
        name="deepgllim",
        help="Deep mixtures of linear inverse regressions: poses predicted from pictures with a distribution.",
        version=__version__,
        help_format="markdown",
    )
    for name, text in GROUPS.items():
        app.command(App(name=name, help=text))
    for name, command in COMMANDS.items():
        *group, last = name.split()
        parser_of(app, group).command(command, name=last)
    return app


def parser_of(app: App, words: Sequence[str]) -> App:
    """The parser of a command or a group, by its words; of no words, the whole."""
    for word in words:
        app = app[word]
    return app


def command_named(tokens: Sequence[str]) -> str:
    """The words of a call that name its command or group, with a blank behind each.

    Example:
        >>> command_named(["data", "check", "folder:faces"]), command_named(["trian"])
        ('data check ', '')
    """
    for count in (2, 1):
        name = " ".join(tokens[:count])
        if name in COMMANDS or name in GROUPS:
            return f"{name} "
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; by default those it was called with.

    Returns:
        The exit code: 0; 1 for data, models, options or files that cannot be used; 2 for a wrong call; 130 after
        Ctrl-C.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    with standard_streams(), one_line_warnings():
        return flushed(_call(tokens))


def _call(tokens: Sequence[str]) -> int:
    try:
        command, bound, _ = make_app().parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(f"{error} (see deepgllim {command_named(tokens)}--help)", 2)
    return run(command, *bound.args, **bound.kwargs)


def flushed(code: int) -> int:
    """Write what waits on the standard streams; the exit code is 1 where that fails after a call that went well."""
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
    """What a failure to write standard output comes to; nothing is said to somebody who has seen enough."""
    return 1 if isinstance(error, ReaderGoneError) else _fail(error, 1)


def run(command: Callable[..., Any], *args: Any, **options: Any) -> int:
    """Call a command and return its exit code; what was not foreseen keeps its traceback."""
    try:
        command(*args, **options)
    except UsageError as error:
        return _fail(error, 2)
    except OutputError as error:
        discard(sys.stdout)
        return _output_failure(error)
    except DeepGLLiMError as error:
        return _fail(error, 1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("deepgllim"):
            raise
        extra = EXTRAS.get(error.name, "train")
        return _fail(f"{error.name} is not installed: install it with pip install 'deepgllim[{extra}]'", 1)
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}: check the path, its permissions and the space left", 1)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{': ' if stop.args else ''}{' '.join(map(str, stop.args))}", 130)
    return 0


def _fail(text: object, code: int) -> int:
    complain(text)
    return code


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show the package's own warnings as one line each; those of other packages as they are."""
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
