"""The demonstration in its quick mode, on plain pictures whose colours encode the pose, and its report."""

import base64
import io
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from deepgllim.apps import demo
from deepgllim.apps.demo import drawings, methods, report, run
from deepgllim.apps.demo.report import Demonstration, write_report
from deepgllim.data import load_data, select_subjects
from deepgllim.errors import DataError
from deepgllim.nn.inputs import ArrayInputs
from deepgllim.nn.model_file import load_model
from deepgllim.runs import evaluate_run, predict_manifest
from deepgllim.synthetic.miniature import TEST_PEOPLE, pack_miniature
from tests.nn.tiny import quick_export
from tests.synthetic.miniatures import rendered_set

LEARNING = [f"p{person:04d}" for person in range(5)]
SECTIONS = (
    "The two methods",
    "One prediction in detail",
    "Test heads",
    "Training",
    "Error against angle",
    "Calibration of the intervals",
    "The most certain faces",
    "The least certain faces",
    "Detection of pictures without a head",
    "Next commands",
    "Details of this run",
)


class DemoRun(NamedTuple):
    """A finished demonstration."""

    output: Path
    archive: Path
    result: demo.DemoResult
    demonstration: Demonstration


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Return a quick run; its files must not be changed."""
    place = tmp_path_factory.mktemp("demo")
    people = [*LEARNING, TEST_PEOPLE[0], TEST_PEOPLE[3]]
    pack_miniature(rendered_set(place / "set", people, each=10), place / "small.zip")
    kept: list[Demonstration] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def keep_and_write(path: Path, known: Demonstration) -> None:
        kept.append(known)
        write_report(path, known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "write_report", keep_and_write)
        patch.setattr(run, "export_verified", quick_export)
        result = demo.run_demo(place / "out", seed=3, quick=True, archive=place / "small.zip")
    torch.set_num_threads(threads)
    return DemoRun(place / "out", place / "small.zip", result, kept[0])


class Page(HTMLParser):
    """Texts, tags and links of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.headings.append(data.strip())


@pytest.fixture
def page(demo_run: DemoRun) -> Page:
    return Page(demo_run.result.report.read_text(encoding="utf-8"))


def test_the_table_has_both_methods_and_all_metrics(demo_run: DemoRun) -> None:
    first, second = demo_run.result.rows
    assert (first["method"], second["method"]) == ("inverse regression", "least squares")
    columns = ["method", "pitch", "yaw", "roll", "mean", "geodesic", "NLL", "90 % coverage", "AUROC of log p(x)"]
    assert list(first) == list(second) == columns == ["method", *report.EXPLANATIONS]
    for row in (first, second):
        assert row["mean"] == pytest.approx(np.mean([float(row[name]) for name in ("pitch", "yaw", "roll")]))
        assert 0 <= float(row["90 % coverage"]) <= 1
    assert 0 <= float(first["AUROC of log p(x)"]) <= 1
    assert np.isnan(float(second["AUROC of log p(x)"]))


def test_the_recipes_differ_only_in_the_objective() -> None:
    first, second = (run.demo_recipe(name, seed=5, quick=False) for name in run.METHODS.values())
    assert first.objective.name == "inverse_regression"
    assert second.objective.name == "least_squares"
    assert first.model_copy(update={"objective": second.objective}) == second
    assert first.schedule.seed == 5
    assert first.network.frozen_depths[0] > 0, "frozen layers are cached"
    assert first.schedule.fixed_copies > 0


def test_each_person_is_in_one_split(demo_run: DemoRun) -> None:
    known = demo_run.demonstration
    assert set(known.test.subjects) == {TEST_PEOPLE[0], TEST_PEOPLE[3]}
    assert set(known.learning.subjects) == set(LEARNING)
    assert len(known.splits.test) == 20
    assert len(known.splits.training) + len(known.splits.validation) == 50
    assert len(known.splits.validation) == 10  # one person


def test_the_saved_models_have_the_metrics_of_the_table(demo_run: DemoRun) -> None:
    """The saved models have the errors of the table on the saved data set."""
    names = {path.name for path in demo_run.output.iterdir()}
    stems = ("inverse_regression", "least_squares")
    files = {f"{stem}.{kind}" for stem in stems for kind in ("safetensors", "onnx", "csv")}
    assert names == {"heads", "report.html"} | files
    test = select_subjects(load_data(f"folder:{demo_run.output / 'heads'}"), [TEST_PEOPLE[0], TEST_PEOPLE[3]])
    for stem, row in zip(stems, demo_run.result.rows, strict=True):
        measured = evaluate_run(demo_run.output / f"{stem}.safetensors", test)
        assert measured["mae"] == pytest.approx(float(row["mean"]), rel=1e-4)
        assert measured["nll"] == pytest.approx(float(row["NLL"]), rel=1e-4)


def test_printed_faces_have_the_predictions_of_the_saved_model(demo_run: DemoRun) -> None:
    test, names = demo_run.demonstration.test, ("pitch", "yaw", "roll")
    predictions = predict_manifest(load_model(demo_run.output / "inverse_regression.safetensors"), test)
    indices = [list(map(str, test.paths)).index(face["image"]) for face in demo_run.result.faces]
    assert [test.subjects[index] for index in indices] == [TEST_PEOPLE[0], TEST_PEOPLE[3]]
    for index, face in zip(indices, demo_run.result.faces, strict=True):
        assert list(face["targets"]) == list(face["true"]) == list(names)
        assert list(face["true"].values()) == test.target_values[index].tolist()
        assert face["box"] == test.boxes[index].tolist()
        for key in ("mean", "lower", "upper"):
            found = [face["targets"][name][key] for name in names]
            np.testing.assert_allclose(found, getattr(predictions, key)[index], rtol=1e-4)  # float32 features
        np.testing.assert_allclose(face["covariance"], predictions.covariance[index], rtol=1e-4)
        assert face["log_density"] == pytest.approx(predictions.log_density[index], rel=1e-4)
        assert face["modes"]
        assert set(face["modes"][0]) == set(names)


def test_the_suggested_commands_parse_and_their_files_exist(demo_run: DemoRun) -> None:
    from deepgllim.cli.app import make_app

    words = [shlex.split(command) for command in demo_run.result.commands]
    assert [command[1] for command in words] == ["predict", "evaluate", "train", "render"]
    for command in words:
        make_app().parse_args(command[1:], exit_on_error=False, print_error=False)
    assert Path(words[0][2]).is_file()
    models = [Path(command[command.index("--model") + 1]) for command in words[:2]]
    assert [model.name for model in models] == ["inverse_regression.onnx", "inverse_regression.safetensors"]
    assert all(model.is_file() for model in models)


def test_the_report_has_no_external_references(demo_run: DemoRun, page: Page) -> None:
    text = demo_run.result.report.read_text(encoding="utf-8")
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", text)


def test_every_picture_of_the_report_can_be_decoded(page: Page) -> None:
    kinds = {"jpeg": 0, "svg+xml": 0}
    for address in page.addresses:
        head, _, content = address.partition(";base64,")
        kind, raw = head.removeprefix("data:image/"), base64.b64decode(content, validate=True)
        kinds[kind] += 1
        if kind == "jpeg":
            with Image.open(io.BytesIO(raw)) as picture:
                assert max(picture.size) == drawings.SIDE
        else:
            assert ElementTree.fromstring(raw).tag.endswith("svg")
    assert kinds["svg+xml"] == 5
    extremes = 3 if "least like the training data" in " ".join(page.words.split()) else 2
    assert kinds["jpeg"] == 2 * (1 + report.SAMPLES + extremes * report.EXTREMES)


def test_the_report_has_all_sections_and_values(demo_run: DemoRun, page: Page) -> None:
    assert tuple(page.headings) == SECTIONS
    words = " ".join(page.words.split())
    for row in demo_run.result.rows:
        assert f"{row['mean']:.2f}" in words
        assert f"{100 * float(row['90 % coverage']):.1f} %" in words
    for command in demo_run.result.commands:
        assert " ".join(command.split()) in words
    facts = report.run_details(demo_run.demonstration)
    assert facts["seed"] == "3"
    assert all(value in words for value in facts.values())
    assert "This was a test run" in words
    for face in page_faces(demo_run):
        assert face in words


def page_faces(demo_run: DemoRun) -> list[str]:
    """Return file name and angles of the least certain face, as written in the report."""
    main = demo_run.demonstration.methods[0]
    index = int(np.argmax(methods.geometric_std(main)))
    angles = main.predictions.mean[index]
    return [demo_run.demonstration.test.paths[index].name, *(report.format_angle(float(value)) for value in angles)]


def test_text_from_the_data_is_escaped(demo_run: DemoRun, tmp_path: Path) -> None:
    known = demo_run.demonstration
    frame = known.test.frame.assign(subject="<script>alert(1)</script>")
    hostile = known._replace(test=type(known.test)(frame, known.test.targets), commands=["deepgllim <b> & 'x'"])
    write_report(tmp_path / "report.html", hostile)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "deepgllim &lt;b&gt; &amp; " in text


def test_the_same_seed_gives_the_same_table_and_keeps_the_heads(
    demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "export_verified", quick_export)
    written = {path: path.stat().st_mtime_ns for path in (demo_run.output / "heads").rglob("*")}
    again = demo.run_demo(demo_run.output, seed=3, quick=True, overwrite=True, archive=demo_run.archive)
    for row, before in zip(again.rows, demo_run.result.rows, strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert value == pytest.approx(float(before[name]), rel=1e-3, nan_ok=True)
    assert {path: path.stat().st_mtime_ns for path in (demo_run.output / "heads").rglob("*")} == written


def test_other_files_in_the_folder_are_kept(demo_run: DemoRun, tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "mine.txt").write_text("text")
    with pytest.raises(DataError, match=r"mine\.txt"):
        demo.run_demo(tmp_path, quick=True, overwrite=True, archive=demo_run.archive)
    assert (tmp_path / "heads" / "mine.txt").read_text() == "text"


def test_a_set_without_test_people_is_refused(tmp_path: Path) -> None:
    pack_miniature(rendered_set(tmp_path / "set", LEARNING, each=2), tmp_path / "small.zip")
    with pytest.raises(DataError, match="5 people to learn from and 0 to test on"):
        demo.run_demo(tmp_path / "out", quick=True, archive=tmp_path / "small.zip")


def test_shuffled_blocks_have_the_same_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = ArrayInputs(torch.randint(0, 255, (3, 3, 18, 18), generator=generator), torch.zeros(3, 1))
    mixed = methods.shuffle_blocks(inputs)
    assert len(mixed) == 3
    for index in range(3):
        whole, part = inputs[index, None][0][:, :16, :16], mixed[index, None][0]
        assert part.shape == (3, 16, 16)
        assert not torch.equal(whole, part)
        for channel in range(3):
            assert torch.equal(whole[channel].flatten().sort().values, part[channel].flatten().sort().values)
    assert torch.equal(methods.shuffle_blocks(inputs)[1, None][0], mixed[1, None][0])


def test_uncertainty_and_coverage_agree_with_the_distribution(demo_run: DemoRun) -> None:
    for method in demo_run.demonstration.methods:
        known = method.predictions
        volume = [np.linalg.det(matrix) ** (1 / 6) for matrix in known.covariance]
        np.testing.assert_allclose(methods.geometric_std(method), volume)
        inside = (known.lower <= known.targets) & (known.targets <= known.upper)
        (share,) = methods.mean_coverage(method, np.array([0.9]))
        assert share == pytest.approx(inside.mean())


def test_the_score_of_one_component_is_the_input_density(demo_run: DemoRun) -> None:
    """With one component the covariance is the same for all pictures, so that it cannot order them."""
    main = demo_run.demonstration.methods[0]
    constant = np.broadcast_to(np.eye(3), main.predictions.covariance.shape)
    single = main._replace(predictions=main.predictions._replace(covariance=constant))
    scores, by = methods.uncertainty_scores(single)
    assert by == "log p(x)"
    np.testing.assert_array_equal(scores, -main.predictions.log_density)
    varied = constant * np.linspace(1, 2, len(constant))[:, None, None]
    scores, by = methods.uncertainty_scores(main._replace(predictions=main.predictions._replace(covariance=varied)))
    assert by == "uncertainty"
    assert (np.diff(scores) > 0).all()


def test_the_report_explains_the_constant_uncertainty_of_one_component(demo_run: DemoRun, tmp_path: Path) -> None:
    first, second = demo_run.demonstration.methods
    constant = np.broadcast_to(np.eye(3), first.predictions.covariance.shape)
    single = first._replace(predictions=first.predictions._replace(covariance=constant))
    write_report(tmp_path / "report.html", demo_run.demonstration._replace(methods=[single, second]))
    words = " ".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).words.split())
    assert "is the same for all pictures. These are the faces with the highest log p(x)" in words
    assert "The half of the faces with the smaller predicted uncertainty" not in words


def test_plotted_densities_integrate_to_the_distribution_function(demo_run: DemoRun) -> None:
    distribution = demo_run.demonstration.methods[0].distribution
    grid = np.linspace(-400, 400, 8001)
    density = drawings.marginal_density(distribution, 2, 1, grid)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    one = distribution.select(torch.tensor([2]))
    below = float(one.marginal_cdf(torch.full((1, 3), 10.0, dtype=torch.float64))[0, 1])
    assert np.trapezoid(density[grid <= 10], grid[grid <= 10]) == pytest.approx(below, abs=1e-3)


ROWS: list[dict[str, float | str]] = [
    {"method": "a", "mean": 5.0, "NLL": 9.0, "90 % coverage": 0.95, "AUROC of log p(x)": 0.9},
    {"method": "b", "mean": 4.0, "NLL": 9.5, "90 % coverage": 0.80, "AUROC of log p(x)": float("nan")},
]


def test_the_report_names_the_better_method() -> None:
    assert report.best_methods(ROWS) == {"mean": "b", "NLL": "a", "90 % coverage": "a"}
    assert report.compare_methods(ROWS) == (
        "On these people, who are not in the training data, b has the smaller mean error (4.00° against 5.00°), "
        "but a has the better likelihood (NLL 9.00 against 9.50)."
    )
    ahead = [ROWS[0] | {"NLL": 9.9}, ROWS[1]]
    assert report.compare_methods(ahead).endswith("and the better likelihood (NLL 9.50 against 9.90).")


def test_the_report_names_no_method_where_the_printed_values_are_equal() -> None:
    same_error = [ROWS[0] | {"mean": 4.001}, ROWS[1]]
    assert report.compare_methods(same_error) == (
        "On these people, who are not in the training data, both methods have the same mean error (4.00°), "
        "and a has the better likelihood (NLL 9.00 against 9.50)."
    )
    same_likelihood = [ROWS[0] | {"NLL": 9.501}, ROWS[1]]
    assert report.compare_methods(same_likelihood).endswith(
        "b has the smaller mean error (4.00° against 5.00°), and both have the same likelihood (NLL 9.50)."
    )
