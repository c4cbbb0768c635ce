"""Test that each example runs, draws its picture, and prints numbers that support its text."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from examples.gallery import NAMES, main, reduce_palette

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem not in ("__init__", "gallery"))

Numbers = dict[str, float]
CLAIMS: dict[str, Callable[[Numbers], None]] = {}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def claim(check: Callable[[Numbers], None]) -> Callable[[Numbers], None]:
    """Register a check of the numbers of the example with the same name."""
    CLAIMS[check.__name__] = check
    return check


@claim
def first_fit(n: Numbers) -> None:
    assert n["RMSE"] < 0.2 * n["standard deviation of the target"]
    assert n["coverage of 90 % intervals"] == pytest.approx(0.9, abs=0.03)
    assert n["coverage with 16 components"] < 0.85


@claim
def two_modes(n: Numbers) -> None:
    assert max(n["hand off by, first mode"], n["hand off by, second mode"]) < 0.04
    assert min(n["hand off by, mean"], n["hand off by, random forest"]) > 0.3
    assert n["share with both answers within 0.2 rad"] > 0.9


@claim
def heteroscedastic_noise(n: Numbers) -> None:
    for third in ("quiet third", "noisy third"):
        assert n[f"coverage, {third}"] == pytest.approx(0.9, abs=0.03)
    assert n["constant width, quiet third"] > 0.98
    assert n["constant width, noisy third"] < 0.8
    assert n["NLL"] < n["NLL, constant variance"] - 0.3


@claim
def choose_components(n: Numbers) -> None:
    assert (n["K by BIC"], n["diagonal noise chosen"], n["K by the likelihood"]) == (4, 1, 8)
    chosen = n["held-out log p(y | x), chosen"]
    assert chosen > n["held-out log p(y | x), K = 8"] > n["held-out log p(y | x), K = 1"]


@claim
def outliers(n: Numbers) -> None:
    for measure in ("RMSE", "NLL", "RMS error of slopes"):
        clean = n[f"{measure}, Gaussian, clean"]
        assert n[f"{measure}, Student, clean"] == pytest.approx(clean, abs=0.005)
        assert n[f"{measure}, Student, 10 % outliers"] == pytest.approx(clean, abs=0.04)
    assert n["RMSE, Gaussian, 10 % outliers"] > 1.3 * n["RMSE, Student, 10 % outliers"]
    assert n["NLL, Gaussian, 10 % outliers"] > n["NLL, Student, 10 % outliers"] + 0.5
    assert n["RMS error of slopes, Gaussian, 10 % outliers"] > 3 * n["RMS error of slopes, Student, 10 % outliers"]


@claim
def latent_nuisance(n: Numbers) -> None:
    assert n["RMSE, 2 latents"] < n["RMSE, 1 latents"] < 0.6 * n["RMSE, 0 latents"]
    assert n["log p(y | x), 2 latents"] > n["log p(y | x), 1 latents"] > n["log p(y | x), 0 latents"] + 1
    assert n["RMSE, 3 latents"] == pytest.approx(n["RMSE, 2 latents"], rel=0.01)
    assert n["coverage, 0 latents"] < 0.65
    assert n["coverage, 2 latents"] == pytest.approx(0.88, abs=0.02)


@claim
def missing_features(n: Numbers) -> None:
    assert n["RMSE, integrated out"] <= n["RMSE, conditional mean"] < 0.8 * n["RMSE, mean of the feature"]
    assert n["coverage, nothing missing"] == pytest.approx(0.9, abs=0.03)
    assert n["coverage, integrated out"] == pytest.approx(0.9, abs=0.04)
    assert max(n["coverage, conditional mean"], n["coverage, mean of the feature"]) < 0.7
    assert n["width, integrated out"] > 2 * n["width, nothing missing"] > 1.5 * n["width, conditional mean"]


@claim
def out_of_distribution(n: Numbers) -> None:
    assert n["AUROC of -log p(x), past the ends"] > 0.98
    assert n["AUROC of -log p(x), blends of two"] > 0.98
    assert n["AUROC of Mahalanobis distance, past the ends"] > 0.98
    assert n["AUROC of Mahalanobis distance, blends of two"] < 0.5
    assert n["RMSE, past the ends"] > 10 * n["RMSE, like the training data"]


@claim
def digits_pipeline(n: Numbers) -> None:
    assert n["components"] > 1
    assert n["error of the angle, degrees, GLLiM"] < 0.55 * n["error of the angle, degrees, ridge"]
    assert n["error of the shift, pixels, GLLiM"] < 0.8 * n["error of the shift, pixels, ridge"]
    for target in ("angle", "shift"):
        assert n[f"coverage, {target}"] == pytest.approx(0.87, abs=0.03)


@claim
def stream(n: Numbers) -> None:
    assert n["RMSE, stream after 1 batch"] == n["RMSE, fit to the first batch"]
    assert n["RMSE, stream after 40 batches"] < 0.85 * n["RMSE, stream after 1 batch"]
    assert n["RMSE, stream after 40 batches"] == pytest.approx(n["RMSE, fit to 40 batches at once"], rel=0.02)
    assert n["RMSE, stream 40 batches later"] < 0.6 * n["RMSE, stream after the change"]
    assert n["RMSE, stream 40 batches later"] < 0.6 * n["RMSE, old fit after the change"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_numbers_support_the_text(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = load(path)
    numbers = example.main(tmp_path)
    CLAIMS[path.stem](numbers)
    assert capsys.readouterr().out
    assert [found.name for found in tmp_path.iterdir()] == [f"{path.stem}.png"]
    with Image.open(tmp_path / f"{path.stem}.png") as picture:
        assert picture.size == (900, 400)


def test_the_gallery_has_all_examples() -> None:
    assert sorted(NAMES) == [path.stem for path in FILES] == sorted(CLAIMS)
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"(images/gallery/{name}.png)" in page
        text = (load(ROOT / "examples" / f"{name}.py").__doc__ or "").partition("\n\n")[2].strip()
        assert text in page, f"the text of {name} has changed: run python -m examples.gallery"


def test_the_gallery_contains_the_output_of_the_scripts(tmp_path: Path) -> None:
    page = main(tmp_path, ["stream"]).read_text(encoding="utf-8")
    assert "## Data that arrive in batches\n" in page
    assert "```text\nRMSE, stream after 1 batch" in page
    assert (tmp_path / "images" / "gallery" / "stream.png").stat().st_size < 30_000


def test_a_reduced_palette_preserves_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 10), (255, 0, 0)).save(path)
    reduce_palette(path)
    with Image.open(path) as picture:
        assert picture.size == (20, 10)
        assert picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
