"""Deep mixtures of linear inverse regressions: images in, poses with a distribution out.

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

__version__ = "0.1.0"
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
_EXTRA = "{name} needs {module}, which the light install leaves out: pip install 'deepgllim[train]'"

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def _let_idle_threads_sleep() -> None:
    """Set OMP_WAIT_POLICY to PASSIVE, unless the user has set how threads wait, or torch is loaded already.

    An OpenMP runtime reads it once, when torch, scikit-learn or libfacedetection loads it. Threads that spin at the end
    of each small operation, for one that waits for a core, make EM tens of times slower beside other work.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


_let_idle_threads_sleep()


def __getattr__(name: str) -> object:
    """A public name, loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'deepgllim' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("deepgllim"):
            raise
        raise ImportError(_EXTRA.format(name=name, module=error.name)) from None


def __dir__() -> list[str]:
    """The public names too, though they are not loaded yet."""
    return sorted({*globals(), *__all__})
