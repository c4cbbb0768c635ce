"""The benchmark of training prints what it says; its figures are not judged here."""

import json
from collections.abc import Callable


def test_it_prints_one_json_object(run_benchmark: Callable[..., str]) -> None:
    small = ["--set", "data.image_size=32", "schedule.epochs_per_round=1"]
    report = json.loads(run_benchmark("training", "--pictures", 16, "--rounds", 1, *small))
    assert report["inverse_regression_K1_beta1"]["ratio_to_least_squares"] > 0
    assert 0 <= report["inverse_regression_K3_beta1"]["em_share"] < 1
    assert report["least_squares"]["network_seconds_per_epoch"] > 0
