"""Test table 1: descriptor, folds, features, methods, claims, and resumption of the command."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from deepgllim.data import Manifest, load_data, make_manifest
from deepgllim.errors import DataError
from deepgllim.nn.config import AugmentationConfig
from experiments import protocol
from experiments.table1 import jobs
from experiments.table1.__main__ import main
from experiments.table1.features import cache_of, features, network_inputs, prepare, prepare_crops
from experiments.table1.hog import LENGTH, pyramid
from experiments.table1.methods import METHODS, constant_spread, rows_to_make
from experiments.table1.networks import base_recipe, inverse_regression, recipe_of
from experiments.table1.options import SEEDS, Options, faces, folds, rows, split
from experiments.table1.summary import CLAIMS, compare, missing_claims, picture_errors, summary, update_claims


@pytest.fixture
def options(face_folder: Path, tmp_path: Path) -> Options:
    return Options(f"folder:{face_folder}", tmp_path / "work", quick=True, frozen_size=32)


@pytest.fixture
def four_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use four folds, since there are four people."""
    monkeypatch.setattr("experiments.table1.options.FOLDS", 4)


# gradients


def test_the_descriptor_has_the_length_in_the_paper() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    assert pyramid(picture).shape == (LENGTH,) == (1888,)


def test_the_descriptor_separates_edge_directions_at_every_resolution() -> None:
    """Horizontal and vertical stripes have their gradients in different orientations."""
    stripes = np.where(np.arange(64) // 16 % 2, 220, 30).astype(np.uint8)
    across, along = np.tile(stripes[:, None], (3, 1, 64)), np.tile(stripes, (3, 64, 1))
    one, other = pyramid(across).reshape(-1, 8), pyramid(along).reshape(-1, 8)
    for level in (slice(0, 196), slice(196, 232), slice(232, 236)):  # 4 cells a block: 49, 9 and 1 blocks
        assert one[level].sum(0).argmax() != other[level].sum(0).argmax()
        assert (one[level].sum(0) * other[level].sum(0)).max() < 1e-3 * one[level].sum() * other[level].sum()
    assert np.array_equal(pyramid(255 - across), pyramid(across))  # a dark edge and a bright one are the same


# people


def test_folds_are_disjoint_in_people_and_cover_all_faces(options: Options, four_folds: None) -> None:
    tested: list[int] = []
    for fold in range(len(folds(options))):
        parts = [split(options, fold, seed) for seed in SEEDS]
        for part in parts:
            people = [set(faces.subjects) for faces in part]
            assert len(set.union(*people)) == sum(map(len, people)) == 4
        assert len({tuple(rows(part.test)) for part in parts}) == 1  # the same for every seed
        tested += rows(parts[0].test)
    assert sorted(tested) == list(range(24))


def test_folds_of_biwi_are_those_of_video_folds(face_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are numbered by the whole table."""
    manifest = load_data(f"folder:{face_folder}")
    protocols = ModuleType("deepgllim.data.protocols")
    protocols.video_folds = lambda whole: [(whole.subset(range(8, 24)), whole.subset(range(8)))]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepgllim.data.protocols", protocols)
    monkeypatch.setattr("experiments.table1.options.load_data", lambda source: manifest)
    [(training, test)] = folds(Options("biwi:there", Path()))
    assert (rows(training), rows(test)) == (list(range(8, 24)), list(range(8)))


# features


def test_features_are_computed_once_and_read_by_row(options: Options, four_folds: None) -> None:
    prepare(options, {"hog", "backbone"})
    written = cache_of(options, "hog").stat().st_mtime_ns
    prepare(options, {"hog", "backbone"})
    assert cache_of(options, "hog").stat().st_mtime_ns == written
    whole = features(options, "hog", faces(options.source, True))
    assert whole.shape == (24, LENGTH)
    part = split(options, 1, 0).test
    np.testing.assert_array_equal(features(options, "hog", part), whole[rows(part)])
    assert features(options, "backbone", part).shape == (6, 1280)


def test_networks_read_the_crops_of_their_faces(options: Options, four_folds: None) -> None:
    recipe = base_recipe(options)
    prepare_crops(options, recipe)
    part = split(options, 0, 0).training
    plain, augmented = (network_inputs(options, recipe, part, a) for a in (None, recipe.augmentation))
    assert plain.config == AugmentationConfig.off()
    assert not plain.augmented
    assert augmented.augmented
    assert np.array_equal(plain[3, 0][0], augmented[3, None][0])
    np.testing.assert_allclose(plain.targets, part.target_values, rtol=1e-6)


# methods


def test_searched_methods_have_candidates_and_networks_share_them() -> None:
    counts = {name: len(method.candidates) for name, method in METHODS.items()}
    fixed = {name for name in METHODS if "3 stages" in name} | {"mean pose", "FCL-FT, the text's"}
    assert {name for name, count in counts.items() if count == 1} == fixed
    of_vgg_with_beta = {name for name in METHODS if name.startswith("VGG-IR-FT") and "beta" in name}
    assert {name for name, count in counts.items() if count == 2} == of_vgg_with_beta
    assert set(counts.values()) == {1, 2, 3}
    networks = [METHODS[name].candidates for name in ("FCL-FT", "mixture density", "IR-FT, K = 1", "IR-FT, K = 2")]
    assert all(candidates is networks[0] for candidates in networks)
    claimed = {claim.first for claim in CLAIMS} | {claim.second for claim in CLAIMS}
    assert claimed <= set(METHODS)


def test_options_of_inverse_regression_follow_beta() -> None:
    zero, one = inverse_regression(2, 0), inverse_regression(2, 1)
    assert zero["objective.n_components"] == one["objective.n_components"] == 2
    assert one["objective.beta"] == 1
    assert zero.get("objective.beta", 0) == 0


def test_the_schedule_of_the_paper_trains_the_last_layer_and_then_four_stages() -> None:
    options = Options("", Path())
    settings = METHODS["FCL-FT"].candidates["SGD"]
    recipe = recipe_of(options, {"objective.name": "least_squares"}, settings, seed=2)
    assert recipe.network.frozen_depths == (8, 4)
    assert (recipe.schedule.optimizer, recipe.schedule.learning_rate, recipe.schedule.halve_every) == ("sgd", 1e-3, 3)
    assert (recipe.schedule.epochs_per_round, recipe.schedule.rounds, recipe.schedule.seed) == (3, 2, 2)
    assert recipe.data == base_recipe(options).data
    ours = recipe_of(options, {"objective.n_components": 2}, METHODS["IR-FT, K = 2"].candidates["AdamW 5e-4"], seed=1)
    assert (ours.network.frozen_depths, ours.schedule.optimizer, ours.schedule.learning_rate) == ((3,), "adamw", 5e-4)


def test_vgg_methods_need_its_file_and_unknown_methods_are_refused() -> None:
    assert "VGG-IR" not in rows_to_make(Options("", Path()), None)
    assert list(rows_to_make(Options("", Path(), vgg="file"), None)) == list(METHODS)
    assert list(rows_to_make(Options("", Path()), ["HOG-IR", "mean pose"])) == ["mean pose", "HOG-IR"]
    with pytest.raises(SystemExit, match="unknown method 'HOG'"):
        rows_to_make(Options("", Path()), ["HOG"])


def poses(n: int, seed: int) -> Manifest:
    values = np.random.default_rng(seed).multivariate_normal([3, -2], [[100, 30], [30, 25]], n)
    return make_manifest(pd.DataFrame({"path": "a.jpg", "pitch": values[:, 0], "yaw": values[:, 1]}))


def test_constant_spread_is_the_covariance_of_the_validation_errors() -> None:
    validation, test = poses(20_000, 0), poses(20_000, 1)
    predictions = constant_spread(lambda faces: np.tile([3.0, -2.0], (len(faces), 1)), validation)(test)
    # three standard errors of a covariance of 20,000
    np.testing.assert_allclose(predictions.covariance[0], [[100, 30], [30, 25]], rtol=0.05)
    inside = (predictions.lower <= predictions.targets) & (predictions.targets <= predictions.upper)
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.01)
    determinant = np.linalg.det(np.array([[100, 30], [30, 25]]))
    entropy = 1 + np.log(2 * np.pi) + 0.5 * np.log(determinant)
    assert -predictions.log_probability.mean() == pytest.approx(entropy, abs=0.05)


@pytest.mark.parametrize("name", ["mean pose", "HOG-SVR", "HOG-IR", "HOG-IR, 4 latents", "frozen ridge"])
def test_predictions_are_independent_of_the_test_labels(name: str, options: Options, four_folds: None) -> None:
    """Changed labels change the likelihood of the predictions only."""
    prepare(options, {"hog", "backbone"})
    job = jobs.Job(name, next(iter(METHODS[name].candidates)), 0, 0)
    predictor, parts, _ = jobs.fit(job, options)
    frame = parts.test.frame
    moved = Manifest(frame.assign(pitch=frame["pitch"] + 40), parts.test.targets)
    one, other = predictor(parts.test), predictor(moved)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.upper, other.upper)
    assert (one.log_probability != other.log_probability).any()
    assert np.isfinite(one.log_probability).all()


# tables


def test_settings_with_the_lowest_validation_error_are_chosen() -> None:
    methods = {name: METHODS[name] for name in ("mean pose", "HOG-SVR", "HOG-IR")}
    found = [(job.method, job.settings) for job in jobs.searches(methods, 0)]
    assert found == [(name, label) for name in ("HOG-SVR", "HOG-IR") for label in METHODS[name].candidates]
    table = pd.DataFrame(found, columns=["method", "settings"]).assign(mae=[3.0, 1.0, 2.0, 5.0, 6.0, 4.0])
    assert jobs.chosen(methods, table) == {"mean pose": "only", "HOG-SVR": "C = 10", "HOG-IR": "prior"}


def test_the_summary_weights_folds_by_pictures_and_keeps_the_order() -> None:
    names = ["mae_pitch", "mae_yaw", "mae", "geodesic", "nll", "coverage_90", "seconds"]
    cells = [("b", 0, 1, 2.0), ("b", 0, 3, 6.0), ("b", 1, 4, 7.0), ("a", 0, 1, 1.0), ("a", 1, 1, 1.0)]
    frame = pd.DataFrame(cells, columns=["method", "seed", "n", "value"])
    found = summary(frame.assign(**dict.fromkeys(names, frame["value"])), ["b", "c", "a"])
    assert found["method"].tolist() == ["b", "a"]
    assert found["mean"].tolist() == ["6.00 ± 1.41", "1.00 ± 0.00"]  # seeds: 5 and 7


def test_claims_compare_pictures_with_both_errors() -> None:
    index = pd.MultiIndex.from_tuples([(0, "x"), (1, "x"), (2, "y")], names=["row", "subject"])
    table = pd.DataFrame({"HOG-IR": [1.0, 2.0, np.nan], "HOG-SVR": [2.0, 5.0, 9.0]}, index=index)
    found = compare(table)
    assert found["text"].tolist() == ["inverse beats forward on HOG"]
    assert found[["mean", "lower", "upper", "below_zero"]].to_numpy().tolist() == [[-2.0, -2.0, -2.0, 1.0]]


def test_absent_predictions_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"HOG_SVR_C___1_fold0_seed2\.parquet is absent"):
        picture_errors(tmp_path, [jobs.Job("HOG-SVR", "C = 1", 0, 2)])


@pytest.fixture
def run(rendered_pointing04: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pd.DataFrame]:
    """Return a function that runs some methods in quick mode and returns the results."""

    def runner(*methods: str) -> pd.DataFrame:
        where = ["--work", str(tmp_path / "work"), "--output", str(tmp_path / "tables"), "--frozen-size", "32"]
        line = ["table1", "--data", f"pointing04:{rendered_pointing04}", "--quick", "--jobs", "1", *where]
        monkeypatch.setattr(sys, "argv", [*line, "--methods", *methods])
        main()
        return protocol.read_table(tmp_path / "tables" / "results.csv")

    return runner


def test_quick_mode_makes_the_tables_and_adds_methods(
    run: Callable[..., pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run("HOG-SVR", "HOG-IR", "IR-FT, K = 2")
    shown = capsys.readouterr().out
    assert "| inverse beats forward on HOG | HOG-IR | HOG-SVR |" in shown
    assert first["method"].tolist() == ["HOG-SVR", "HOG-IR", "IR-FT, K = 2"]
    assert first["mae"].between(0, 120).all()
    assert first["coverage_90"].between(0, 1).all()
    assert np.isfinite(first["nll"]).all()
    second = run("HOG-IR", "mixture density", "FCL-FT, the text's", "frozen ridge")
    pd.testing.assert_frame_equal(second.iloc[:3], first, check_dtype=False)  # kept
    assert second["method"].tolist()[3:] == ["frozen ridge", "FCL-FT, the text's", "mixture density"]
    search = protocol.read_table(tmp_path / "tables" / "search.csv")
    assert (search.groupby("method").size() == 2).all()


def test_claims_of_another_work_folder_are_kept(tmp_path: Path) -> None:
    job = jobs.Job("HOG-SVR", "C = 1", 0, 0)
    table = tmp_path / "claims.csv"
    with pytest.raises(DataError, match="absent, but its row"):
        update_claims(tmp_path, [job], table)
    pd.DataFrame({"text": ["a claim"], "mean": [-1.5]}).to_csv(table, index=False)
    assert update_claims(tmp_path, [job], table)["mean"].tolist() == [-1.5]


def write_predictions(work: Path, job: jobs.Job, error: float) -> None:
    """Write predictions for one picture of each of two people."""
    path = jobs.predictions_file(work, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"method": job.method, "row": [0, 1], "subject": ["x", "y"], "error": error})
    table.to_parquet(path, index=False)


def test_new_claims_are_added_to_those_of_another_work_folder(tmp_path: Path) -> None:
    """A claim needs predictions of both of its rows; the other claims of the table are kept."""
    old, first, second = (jobs.Job(name, "AdamW 5e-4", 0, 0) for name in ("HOG-SVR", "IR-FT, K = 1", "FCL-FT"))
    hog = jobs.Job("HOG-IR", "prior", 0, 0)
    everything = [old, hog, first, second, jobs.Job("IR-FT, K = 2", "AdamW 5e-4", 0, 0)]
    old_claims = pd.DataFrame([CLAIMS[0]._asdict() | {"mean": -2.0, "lower": -3.0, "upper": -1.0, "below_zero": 1.0}])
    table = tmp_path / "claims.csv"
    old_claims.to_csv(table, index=False)
    write_predictions(tmp_path, first, 4.0)
    write_predictions(tmp_path, second, 5.0)
    for _ in range(2):  # the second time gives the same
        claims = update_claims(tmp_path, everything, table)
        assert claims["text"].tolist() == [CLAIMS[0].text, "the same with K = 1"]
        assert claims["mean"].tolist() == [-2.0, -1.0]
        assert pd.read_csv(table)["mean"].tolist() == [-2.0, -1.0]
    assert [line.split(": ")[1] for line in missing_claims(claims, everything)] == [
        "fine-tuned inverse beats fine-tuned least squares",
        "K = 1 is nearly as good as K = 2",
    ]
    with pytest.raises(DataError, match=r"fold1_seed0\.parquet is absent"):  # only some predictions of the row exist
        update_claims(tmp_path, [*everything, first._replace(fold=1)], table)
