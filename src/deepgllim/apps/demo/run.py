"""The steps of the demonstration: unpack the heads, split by person, train two methods, evaluate them, report."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepgllim.apps.demo.methods import Method, SplitInputs, face_record, table_row, train_method
from deepgllim.apps.demo.report import Demonstration, write_report
from deepgllim.data import Manifest, load_data, select_subjects, subsample
from deepgllim.errors import DataError
from deepgllim.nn.config import AugmentationConfig, Recipe, load_recipe
from deepgllim.nn.export.verification import export_verified
from deepgllim.nn.reporting import Reporter, write_rows
from deepgllim.runs import face_inputs, split_validation, training_inputs
from deepgllim.storage import write_atomically
from deepgllim.synthetic import TEST_PEOPLE, unpack_miniature

METHODS = {"inverse regression": "demo_inverse_regression", "least squares": "demo_least_squares"}
"""Recipe of each method; the recipes differ in the objective only."""

QUICK: dict[str, int | str] = {"schedule.rounds": 1, "schedule.fixed_copies": 0, "data.image_size": 32}
QUICK |= {"objective.n_components": 2, "objective.em_start": "targets"}  # no component becomes empty
QUICK_PICTURES = 160
PRINTED_FACES = 4
"""Number of test pictures whose predictions are printed, each of another person."""


class DemoResult(NamedTuple):
    """The result of a demonstration.

    Attributes:
        rows: the table, one row for each method.
        faces: the predictions for some test pictures, as `face_record` returns them.
        report: path of the HTML file.
        commands: commands to try next.
        seconds: duration of the whole run.
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
    """Train inverse regression and least squares on the bundled synthetic heads, and write a report of both.

    Args:
        output: folder for the data set `heads`, the report `report.html`, and for each method the model, the exported
            model and a CSV file of the rounds.
        seed: seed of the split by person, the network and the training.
        quick: train one round on few small pictures, as a test.
        overwrite: replace another data set in `output`.
        archive: file with the synthetic heads; by default that of the package.
        reporter: receives the progress of each training.
        announce: receives a message at the start of each step.

    Raises:
        DataError: the archive is missing or damaged, has no test people, or cannot be unpacked.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     run_demo(Path(folder)).rows[1]["method"]
        'least squares'
    """
    start = time.perf_counter()
    heads = unpack_miniature(output / "heads", archive, overwrite=overwrite)
    manifest = load_data(f"folder:{heads}")
    if quick:
        manifest = subsample(manifest, min(1.0, QUICK_PICTURES / len(manifest)), seed)
    learning, test = split_people(manifest)
    recipes = {name: demo_recipe(file, seed, quick) for name, file in METHODS.items()}
    splits = make_splits(learning, test, next(iter(recipes.values())))
    methods = []
    for name, recipe in recipes.items():
        announce(f"{name}: {len(splits.training)} pictures, {len(splits.validation)} of other people for validation")
        methods.append(train_method(name, recipe, splits, reporter))
        announce(f"{name}: exporting the model to ONNX")
        save_method(methods[-1], output)
    announce("drawing the report")
    faces = [face_record(methods[0], test, index) for index in select_faces(test)]
    rows = [table_row(method) for method in methods]
    commands = suggest_commands(output, faces[0])
    seconds = time.perf_counter() - start
    report = output / "report.html"
    write_report(report, Demonstration(methods, rows, test, learning, splits, commands, seed, seconds, quick))
    return DemoResult(rows, faces, report, commands, seconds)


def split_people(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """Return the faces of the people to learn from, and those of the fixed test people.

    Raises:
        DataError: fewer than two people to learn from, or no test people.
    """
    people = sorted(set(map(str, manifest.subjects)))
    test = [name for name in people if name in TEST_PEOPLE]
    learning = [name for name in people if name not in TEST_PEOPLE]
    if not test or len(learning) < 2:
        raise DataError(
            f"the synthetic heads have {len(learning)} people to learn from and {len(test)} to test on "
            f"({TEST_PEOPLE[0]} to {TEST_PEOPLE[-1]}): at least two and one are needed"
        )
    return select_subjects(manifest, learning), select_subjects(manifest, test)


def demo_recipe(name: str, seed: int, quick: bool) -> Recipe:
    """Return the recipe of a method."""
    return load_recipe(name).override({"schedule.seed": seed} | (QUICK if quick else {}))


def make_splits(learning: Manifest, test: Manifest, recipe: Recipe) -> SplitInputs:
    """Return the network inputs for training, validation and test; they are the same for all methods."""
    split = split_validation(learning, recipe)
    assert split.validation is not None
    plain = AugmentationConfig.off()
    return SplitInputs(
        training_inputs(split.training, recipe),
        face_inputs(split.validation, recipe.data, plain),
        face_inputs(test, recipe.data, plain),
        test.targets,
    )


def save_method(method: Method, output: Path) -> None:
    """Write the model of a method, the exported model and the table of its rounds."""
    stem = method.name.replace(" ", "_")
    method.model.save(output / f"{stem}.safetensors")
    export_verified(method.model, output / f"{stem}.onnx")
    write_atomically(output / f"{stem}.csv", lambda place: write_rows(place, method.history))


def select_faces(test: Manifest) -> list[int]:
    """Return the index of the first picture of each of some people."""
    people = test.subjects
    return [int(np.flatnonzero(people == person)[0]) for person in dict.fromkeys(people)][:PRINTED_FACES]


def suggest_commands(output: Path, face: dict[str, Any]) -> list[str]:
    """Return commands to try next; the first one predicts the given face."""
    heads = f"folder:{output / 'heads'}"
    model = output / next(iter(METHODS)).replace(" ", "_")
    picture = output / "heads" / "images" / Path(face["image"]).name
    box = ",".join(f"{edge:g}" for edge in face["box"])
    calls = [
        ("predict", picture, "--model", f"{model}.onnx", "--box", box, "--save", output / "axes.png"),
        ("evaluate", "--model", f"{model}.safetensors", "--data", heads, "--subjects", ",".join(TEST_PEOPLE)),
        ("train", "--data", heads, "--recipe", "inverse_regression", "--output", output / "mine"),
        ("render", "--set", "natural", "--images", 5000, "--size", 96, "--output", output / "more"),
    ]
    return ["deepgllim " + " ".join(shlex.quote(str(word)) for word in call) for call in calls]
