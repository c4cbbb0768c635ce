"""Rotations of heads, their angles, and the conventions of other software; numpy only."""

from deepgllim.geometry.checks import checked_rotations
from deepgllim.geometry.conventions import (
    CONVENTIONS,
    Convention,
    convention,
    from_convention,
    rotation_from_convention,
    rotation_to_convention,
    to_convention,
)
from deepgllim.geometry.names import present_names
from deepgllim.geometry.rotations import (
    ANGLES,
    AXES,
    MIRROR_SIGNS,
    NECK_ANGLES,
    angles_from_rotation,
    geodesic_distance,
    mirror_angles,
    mirror_rotation,
    pan_tilt_from_rotation,
    project_axes,
    rotation_from_angles,
    rotation_from_pan_tilt,
    rotation_from_vector,
    vector_from_rotation,
)
from deepgllim.geometry.zero import FACE_PLANE_ELEVATION

__all__ = [
    "ANGLES",
    "AXES",
    "CONVENTIONS",
    "FACE_PLANE_ELEVATION",
    "MIRROR_SIGNS",
    "NECK_ANGLES",
    "Convention",
    "angles_from_rotation",
    "checked_rotations",
    "convention",
    "from_convention",
    "geodesic_distance",
    "mirror_angles",
    "mirror_rotation",
    "pan_tilt_from_rotation",
    "present_names",
    "project_axes",
    "rotation_from_angles",
    "rotation_from_convention",
    "rotation_from_pan_tilt",
    "rotation_from_vector",
    "rotation_to_convention",
    "to_convention",
    "vector_from_rotation",
]
