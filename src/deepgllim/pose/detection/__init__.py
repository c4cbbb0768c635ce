"""Face detectors behind one protocol, and the face boxes that a network expects.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.pose.detection.boxes import BoxMap, Candidates, intersection_over_union, non_maximum_suppression
    from deepgllim.pose.detection.faces import (
        BOX_MAPS,
        DETECTORS,
        BlazeFace,
        CenterFace,
        FaceDetector,
        make_detector,
    )
    from deepgllim.pose.detection.search import Face

__all__ = [
    "BOX_MAPS",
    "DETECTORS",
    "BlazeFace",
    "BoxMap",
    "Candidates",
    "CenterFace",
    "Face",
    "FaceDetector",
    "intersection_over_union",
    "make_detector",
    "non_maximum_suppression",
]

_MODULES = {
    "boxes": ["BoxMap", "Candidates", "intersection_over_union", "non_maximum_suppression"],
    "faces": ["BOX_MAPS", "DETECTORS", "BlazeFace", "CenterFace", "FaceDetector", "make_detector"],
    "search": ["Face"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
