"""Frames of videos and cameras, tracks of faces, and rotations filtered or smoothed over time.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.pose.video.following import FaceResult, FrameFaces, PoseTracker, Smoothing, smooth_frames
    from deepgllim.pose.video.frames import Frame, Frames, VideoWriter, is_video, read_frames
    from deepgllim.pose.video.motion import HeadMotion
    from deepgllim.pose.video.smoothing import Estimate, RotationFilter, smooth_rotations
    from deepgllim.pose.video.tracking import Tracker

__all__ = [
    "Estimate",
    "FaceResult",
    "Frame",
    "FrameFaces",
    "Frames",
    "HeadMotion",
    "PoseTracker",
    "RotationFilter",
    "Smoothing",
    "Tracker",
    "VideoWriter",
    "is_video",
    "read_frames",
    "smooth_frames",
    "smooth_rotations",
]

_MODULES = {
    "following": ["FaceResult", "FrameFaces", "PoseTracker", "Smoothing", "smooth_frames"],
    "frames": ["Frame", "Frames", "VideoWriter", "is_video", "read_frames"],
    "motion": ["HeadMotion"],
    "smoothing": ["Estimate", "RotationFilter", "smooth_rotations"],
    "tracking": ["Tracker"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
