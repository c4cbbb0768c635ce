"""Head pose with uncertainty from images: numpy, Pillow and onnxruntime, without torch.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.pose.calibration import Calibration
    from deepgllim.pose.camera import Intrinsics
    from deepgllim.pose.conformal import fit_calibration, region_levels
    from deepgllim.pose.estimate import PoseMode
    from deepgllim.pose.mixture import Mixture, MixtureMode
    from deepgllim.pose.network import NetworkOutputs, PoseNetwork, PoseSpec, write_metadata
    from deepgllim.pose.pictures import as_picture
    from deepgllim.pose.predictor import HeadPose, default_model
    from deepgllim.pose.propagation import angle_covariance, rotation_covariance, rotation_jacobian
    from deepgllim.pose.result import Pose
    from deepgllim.pose.targets import pose_from_targets, predicted_angles

__all__ = [
    "Calibration",
    "HeadPose",
    "Intrinsics",
    "Mixture",
    "MixtureMode",
    "NetworkOutputs",
    "Pose",
    "PoseMode",
    "PoseNetwork",
    "PoseSpec",
    "angle_covariance",
    "as_picture",
    "default_model",
    "fit_calibration",
    "pose_from_targets",
    "predicted_angles",
    "region_levels",
    "rotation_covariance",
    "rotation_jacobian",
    "write_metadata",
]

_MODULES = {
    "calibration": ["Calibration"],
    "camera": ["Intrinsics"],
    "conformal": ["fit_calibration", "region_levels"],
    "estimate": ["PoseMode"],
    "mixture": ["Mixture", "MixtureMode"],
    "network": ["NetworkOutputs", "PoseNetwork", "PoseSpec", "write_metadata"],
    "pictures": ["as_picture"],
    "predictor": ["HeadPose", "default_model"],
    "propagation": ["angle_covariance", "rotation_covariance", "rotation_jacobian"],
    "result": ["Pose"],
    "targets": ["pose_from_targets", "predicted_angles"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
