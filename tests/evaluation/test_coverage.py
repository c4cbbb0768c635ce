"""Coverage of people held out, and the error of the faces kept."""

import numpy as np
import pytest

from deepgllim.data import Manifest
from deepgllim.errors import DataError
from deepgllim.evaluation.coverage import abstention_table, errors_by_target, fit_recalibration, report_coverage
from deepgllim.evaluation.faces import LabelledPredictions, predict_faces
from deepgllim.pose.network import PoseNetwork


def synthetic(people: int, each: int, deviation: float, seed: int = 0) -> LabelledPredictions:
    """Errors of a deviation; every covariance says 1 for easy and 9 for hard faces, which is right up to the factor."""
    rng = np.random.default_rng(seed)
    n = people * each
    size = np.where(rng.random(n) < 0.5, 1.0, 3.0)
    mean = rng.uniform(-90, 90, (n, 3))
    truth = mean + deviation * size[:, None] * rng.standard_normal((n, 3))
    covariance = (size**2)[:, None, None] * np.eye(3)
    who = np.repeat([f"p{i}" for i in range(people)], each)
    return LabelledPredictions(("tilt", "pan", "neck_roll"), truth, mean, covariance, rng.standard_normal(n), who)


def test_regions_that_are_too_small_become_true() -> None:
    report = report_coverage(synthetic(40, 100, deviation=2.5))
    whole = report.coverage.iloc[0]
    assert whole["faces"] == "all"
    assert whole["before_90"] < 0.4
    assert whole["after_90"] == pytest.approx(0.9, abs=0.03)
    np.testing.assert_allclose(report.calibration.scales, 2.5, rtol=0.05)
    assert report.coverage["n"].iloc[1:].sum() == 4000  # the parts by |pan|


def test_giving_up_the_unsure_faces_helps() -> None:
    table = abstention_table(synthetic(10, 200, deviation=1.0)).set_index(["by", "kept"])["error"]
    assert table["size of the region", 0.5] < 0.6 * table["size of the region", 1.0]
    assert table["log p(x)", 0.5] == pytest.approx(table["log p(x)", 1.0], rel=0.1)  # it says nothing here


def test_of_a_real_network(network: PoseNetwork, faces: Manifest) -> None:
    predictions = predict_faces(network, faces)
    report = report_coverage(predictions)
    assert report.calibration.scales[1] == pytest.approx(0.5, abs=0.1)  # the predicted deviation is 20, the error 10.4
    assert report.coverage.iloc[0]["after_90"] == pytest.approx(0.9, abs=0.07)
    assert errors_by_target(predictions)["pan"] == pytest.approx(8.3, abs=1.5)
    assert "neck_roll" not in errors_by_target(predictions)
    threshold = fit_recalibration(predictions).log_density_threshold
    assert threshold is not None
    assert (predictions.log_density >= threshold).mean() == pytest.approx(0.95, abs=0.02)


def test_two_people_are_too_few() -> None:
    with pytest.raises(DataError, match="2 people: recalibration with people held out needs at least three"):
        report_coverage(synthetic(2, 50, 1.0))
