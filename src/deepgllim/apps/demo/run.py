"""The demonstration's course: unpack, split by person, train two methods alike, judge them, write the report."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepgllim.apps.demo.report import Demonstration, write_report
from deepgllim.apps.demo.trained import Method, SplitInputs, face_record, table_row, train_method
from deepgllim.data import Manifest, load_data, select_subjects, subsample
from deepgllim.errors import DataError
from deepgllim.nn.config import AugmentationConfig, Recipe, load_recipe
from deepgllim.nn.export.onnx_file import export_onnx
from deepgllim.nn.reporting import Reporter, write_rows
from deepgllim.runs import face_inputs, split_validation, training_inputs
from deepgllim.storage import write_atomically
from deepgllim.synthetic.miniature import TEST_PEOPLE, unpack_miniature

METHODS = {"inverse regression": "demo_inverse_regression", "least squares": "demo_least_squares"}
"""The recipe of each method: the same network, pictures and schedule, another objective."""

QUICK: dict[str, int | str] = {"schedule.rounds": 1, "schedule.fixed_copies": 0, "data.image_size": 32}
QUICK |= {"objective.n_components": 2, "objective.em_start": "targets"}  # no component dies of so few pictures
QUICK_PICTURES = 160
SHOWN = 4
"""Held-out faces whose predictions are printed, one of a person."""


class DemoResult(NamedTuple):
    """What the demonstration leaves.

    Attributes:
        rows: the table, a row a method.
        faces: the predictions for some test pictures, as `face_record` returns them.
        report: the HTML file.
        commands: to try next.
        seconds: that it all took.
    """

    rows: list[dict[str, float | str]]
    faces: list[dict[str, Any]]
    report: Path
    commands: list[str]
    seconds: float


def run_demo(
    output: Path,
    seed: int = 0,
    *,
    quick: bool = False,
    overwrite: bool = False,
    archive: Path | None = None,
    reporter: Reporter | None = None,
    announce: Callable[[str], None] = lambda text: None,
) -> DemoResult:
    """Train inverse regression and least squares on the miniature, side by side, and write a report of both.

    Args:
        output: folder for `heads`, an ordinary data set; `report.html`; and of each method the model, the exported
            model and a CSV of rounds.
        seed: of the people held out for validation, the order, the augmentation, and all else at random.
        quick: a smoke run: few pictures, small, one round.
        overwrite: replace a data set in `output` that is another one than the miniature.
        archive: another miniature's file; by default that of the package.
        reporter: told of each training's progress.
        announce: told what begins.

    Raises:
        DataError: the miniature is missing or damaged, has no test people, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     run_demo(Path(folder)).rows[1]["method"]
        'least squares'
    """
    began = time.perf_counter()
    heads = unpack_miniature(output / "heads", archive, overwrite=overwrite)
    manifest = load_data(f"folder:{heads}")
    if quick:
        manifest = subsample(manifest, min(1.0, QUICK_PICTURES / len(manifest)), seed)
    learning, test = split_people(manifest)
    recipes = {name: demo_recipe(file, seed, quick) for name, file in METHODS.items()}
    parts = make_parts(learning, test, next(iter(recipes.values())))
    methods = []
    for name, recipe in recipes.items():
        announce(f"{name}: {len(parts.training)} pictures, {len(parts.validation)} of other people to validate on")
        methods.append(train_method(name, recipe, parts, reporter))
        announce(f"{name}: exporting the model to ONNX")
        save(methods[-1], output)
    announce("drawing the report")
    faces = [face_record(methods[0], test, index) for index in shown(test)]
    rows = [table_row(method) for method in methods]
    commands = next_steps(output, faces[0])
    seconds = time.perf_counter() - began
    report = output / "report.html"
    write_report(report, Demonstration(methods, rows, test, learning, parts, commands, seed, seconds, quick))
    return DemoResult(rows, faces, report, commands, seconds)


def split_people(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """The people to learn from, and those to test on, which are fixed by name.

    Raises:
        DataError: a set without people of the one or the other kind.
    """
    known = sorted(set(map(str, manifest.subjects)))
    test = [name for name in known if name in TEST_PEOPLE]
    learning = [name for name in known if name not in TEST_PEOPLE]
    if not test or len(learning) < 2:
        raise DataError(
            f"the miniature has {len(learning)} people to learn from and {len(test)} to test on "
            f"({TEST_PEOPLE[0]} to {TEST_PEOPLE[-1]}): two and one are needed at least"
        )
    return select_subjects(manifest, learning), select_subjects(manifest, test)


def demo_recipe(name: str, seed: int, quick: bool) -> Recipe:
    """A method's recipe."""
    return load_recipe(name).override({"schedule.seed": seed} | (QUICK if quick else {}))


def make_parts(learning: Manifest, test: Manifest, recipe: Recipe) -> SplitInputs:
    """The pictures as the network reads them; the same for every method."""
    split = split_validation(learning, recipe)
    assert split.validation is not None
    plain = AugmentationConfig.off()
    return SplitInputs(
        training_inputs(split.training, recipe),
        face_inputs(split.validation, recipe.data, plain),
        face_inputs(test, recipe.data, plain),
        test.targets,
    )


def save(method: Method, output: Path) -> None:
    """Write the model of a method, the exported model and the table of its rounds."""
    stem = method.name.replace(" ", "_")
    method.model.save(output / f"{stem}.safetensors")
    export_onnx(method.model, output / f"{stem}.onnx")
    write_atomically(output / f"{stem}.csv", lambda place: write_rows(place, method.history))


def shown(test: Manifest) -> list[int]:
    """Rows of the first picture of some people."""
    people = test.subjects
    return [int(np.flatnonzero(people == who)[0]) for who in dict.fromkeys(people)][:SHOWN]


def next_steps(output: Path, face: dict[str, Any]) -> list[str]:
    """Return commands to try next; the first one predicts the given face."""
    heads = f"folder:{output / 'heads'}"
    model = output / next(iter(METHODS)).replace(" ", "_")
    picture = output / "heads" / "images" / Path(face["image"]).name
    box = ",".join(f"{edge:g}" for edge in face["box"])
    drawn, mine = output / "axes.png", output / "mine"
    calls = [
        ("predict", picture, "--model", f"{model}.onnx", "--box", box, "--save", drawn),
        ("evaluate", "--model", f"{model}.safetensors", "--data", heads, "--subjects", ",".join(TEST_PEOPLE)),
        ("train", "--data", heads, "--recipe", "inverse_regression", "--output", mine),
        ("render", "--set", "natural", "--images", 5000, "--size", 96, "--output", output / "more"),
    ]
    return ["deepgllim " + " ".join(shlex.quote(str(word)) for word in call) for call in calls]
