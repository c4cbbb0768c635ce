"""The model of `deepgllim predict`: an ONNX file as it is, a trained one by way of a temporary ONNX file."""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deepgllim.cli.console import complain
from deepgllim.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    from deepgllim.nn.model import DeepRegression
    from deepgllim.pose.predictor import HeadPose

TRAINED = ".safetensors"


def open_model(path: Path | None, detector: str | None, quiet: bool = False) -> "HeadPose | DeepRegression":
    """A predictor of poses; the trained model itself where it predicts something else.

    Args:
        path: `.onnx` or `.safetensors`; the package's own when None.
        detector: of faces, by name; None where boxes are known.
        quiet: do not say why it takes so long.

    Raises:
        ModelError: the file cannot be used, or what it needs is not installed.
    """
    from deepgllim.pose.predictor import HeadPose

    if path is None or path.suffix.lower() != TRAINED:
        return HeadPose(path, detector)
    model = _trained(path)
    if not predicts_pose(model.spec.targets):
        return model
    from deepgllim.nn.export.onnx_file import export_onnx

    if not quiet:
        complain(f"exporting {path} for this call; do it once and for all with deepgllim export {path} FILE.onnx")
    with tempfile.TemporaryDirectory(prefix="deepgllim-") as folder:
        return HeadPose(export_onnx(model, Path(folder) / "model.onnx"), detector)


def digest(path: Path | None) -> str | None:
    """What tells a model's file from any other; None if it cannot be read."""
    from deepgllim.pose.predictor import default_model

    try:
        with (default_model() if path is None else path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except (OSError, ModelError):
        return None


def predicts_pose(targets: tuple[str, ...]) -> bool:
    """Whether a pose can be made from a model's targets.

    Example:
        >>> predicts_pose(("pitch", "yaw")), predicts_pose(("age",))
        (True, False)
    """
    from deepgllim.pose.targets import predicted_angles

    try:
        return bool(predicted_angles(targets))
    except ModelError:
        return False


def _trained(path: Path) -> "DeepRegression":
    try:
        from deepgllim.nn.model import load_model
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path}: a .safetensors model needs {error.name}: pip install 'deepgllim[train]', or give its ONNX file "
            "(deepgllim export)"
        ) from error
    return load_model(path)
