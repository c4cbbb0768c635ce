"""Install a wheel into empty virtual environments, one for each audience, and run its example.

    python tools/check_install.py dist/deepgllim-0.2.0-py3-none-any.whl [AUDIENCE ...]

Set PIP_CONSTRAINT=constraints.txt for the versions of development. The audiences are `bare` (head pose without torch)
and `mixture` (the estimator). A step that fails ends the script with its exit code.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

BARE = """
import numpy as np
from deepgllim import HeadPose
(pose,) = HeadPose(detector=None).predict(np.full((120, 120, 3), 90, np.uint8))
print(pose)
"""
MIXTURE = """
import numpy as np
from deepgllim import GLLiMRegressor
y = np.linspace(-1, 1, 200)
X = np.column_stack([y, y**2]) + 0.05 * np.random.default_rng(0).normal(size=(200, 2))
model = GLLiMRegressor(n_components=2, random_state=0).fit(X, y)
model.save("mixture.safetensors")
print(GLLiMRegressor.load("mixture.safetensors").predict_interval(X[:1]))
"""
ABSENT = "import importlib.util, sys; sys.exit([name for name in {names!r} if importlib.util.find_spec(name)] or 0)"


class Audience(NamedTuple):
    """An installation to check.

    Attributes:
        first: requirement that is installed before the wheel.
        extra: extras, as in "[mixture]".
        code: code that must run.
        absent: modules that must not be installed.
    """

    first: str | None
    extra: str
    code: str
    absent: tuple[str, ...]


AUDIENCES = {
    "bare": Audience(None, "", BARE, ("torch", "scipy", "sklearn", "pandas", "pydantic", "pyarrow", "onnx")),
    "mixture": Audience("torch==2.13.0", "[mixture]", MIXTURE, ("pandas", "pydantic", "pyarrow", "onnx")),
}


def check(wheel: Path, audience: Audience) -> None:
    """Install the wheel for one audience into an empty environment, and run its code there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if audience.first:
            run(folder, *pip, audience.first)
        run(folder, *pip, f"{wheel}{audience.extra}")
        run(folder, python, "-m", "pip", "check")
        run(folder, python, "-c", ABSENT.format(names=audience.absent))
        run(folder, python, "-c", audience.code)
        run(folder, python, "-c", "from deepgllim.cli import main; raise SystemExit(main(['--help']))")


def run(folder: str, *words: str | Path) -> None:
    """Run a program in a folder, without the variables that would let it find other packages."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([str(word) for word in words], cwd=folder, env=variables, check=True)


def main() -> None:
    """Check the audiences of the command line, or all."""
    wheel, *chosen = sys.argv[1:]
    for name in chosen or AUDIENCES:
        print(f"-- {name}", flush=True)
        check(Path(wheel).resolve(), AUDIENCES[name])


if __name__ == "__main__":
    main()
