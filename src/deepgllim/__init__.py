"""Deep mixtures of linear inverse regressions: head poses and other numbers from images, with a distribution.

Public names load on first use; importing the package loads neither torch nor any optional dependency.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepgllim.distributions import MultivariateGaussianMixture, MultivariateStudentMixture
    from deepgllim.estimator import GLLiMRegressor
    from deepgllim.pose.predictor import HeadPose
    from deepgllim.pose.result import Pose

__version__ = "0.2.0"
__all__ = [
    "GLLiMRegressor",
    "HeadPose",
    "MultivariateGaussianMixture",
    "MultivariateStudentMixture",
    "Pose",
    "__version__",
]

_HOMES = {
    "GLLiMRegressor": "deepgllim.estimator",
    "HeadPose": "deepgllim.pose.predictor",
    "MultivariateGaussianMixture": "deepgllim.distributions",
    "MultivariateStudentMixture": "deepgllim.distributions",
    "Pose": "deepgllim.pose.result",
}
_INSTALLS = {name: "deepgllim" if name in ("HeadPose", "Pose") else "deepgllim[mixture]" for name in _HOMES}

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def _let_idle_threads_sleep() -> None:
    """Set OMP_WAIT_POLICY to PASSIVE, unless the user has set how threads wait or torch is already loaded.

    An OpenMP runtime reads the variable once, when torch or scikit-learn loads the runtime. With
    other work on the same cores, threads that spin at the end of each small operation make EM tens of times slower.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


_let_idle_threads_sleep()


def __getattr__(name: str) -> object:
    """Load a public name at its first use.

    Raises:
        AttributeError: if the package has no such public name.
        ImportError: if a dependency of the name is not installed; the message contains the command that installs it.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'deepgllim' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("deepgllim"):
            raise
        remedy = f"pip install '{_INSTALLS[name]}'"
        raise ImportError(f"{name} needs {error.name}, which is not installed: {remedy}") from None


def __dir__() -> list[str]:
    """Return all names, including public ones that are not loaded yet."""
    return sorted({*globals(), *__all__})
