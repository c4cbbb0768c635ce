"""Tables of faces: reading data sets, checking their images, splits and evaluation protocols.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.data.biwi import missing_sequences, read_biwi, survey_biwi
    from deepgllim.data.biwi_files import CameraCalibration, RigidPose, read_calibration, read_depth, read_pose
    from deepgllim.data.conversion import convert_labels
    from deepgllim.data.landmarked import landmark_box, read_300w_lp, read_aflw2000, survey_300w_lp, survey_aflw2000
    from deepgllim.data.manifest import Manifest, make_manifest, read_manifest
    from deepgllim.data.pictures import check_images, drop_unreadable, write_report
    from deepgllim.data.pointing04 import read_pointing04
    from deepgllim.data.protocols import (
        PROTOCOLS,
        Split,
        best_fold,
        by_sequence,
        by_subject,
        cross_dataset,
        median_fold,
        video_folds,
    )
    from deepgllim.data.readers import READERS, load_data, read_folder, read_text
    from deepgllim.data.report import AngleHistogram, DataReport, angle_histogram, check_data
    from deepgllim.data.splits import known_subjects, select_subjects, split_by_subject, subject_folds, subsample
    from deepgllim.data.survey import BrokenFileError, Survey

__all__ = [
    "PROTOCOLS",
    "READERS",
    "AngleHistogram",
    "BrokenFileError",
    "CameraCalibration",
    "DataReport",
    "Manifest",
    "RigidPose",
    "Split",
    "Survey",
    "angle_histogram",
    "best_fold",
    "by_sequence",
    "by_subject",
    "check_data",
    "check_images",
    "convert_labels",
    "cross_dataset",
    "drop_unreadable",
    "known_subjects",
    "landmark_box",
    "load_data",
    "make_manifest",
    "median_fold",
    "missing_sequences",
    "read_300w_lp",
    "read_aflw2000",
    "read_biwi",
    "read_calibration",
    "read_depth",
    "read_folder",
    "read_manifest",
    "read_pointing04",
    "read_pose",
    "read_text",
    "select_subjects",
    "split_by_subject",
    "subject_folds",
    "subsample",
    "survey_300w_lp",
    "survey_aflw2000",
    "survey_biwi",
    "video_folds",
    "write_report",
]

_MODULES = {
    "biwi": ["missing_sequences", "read_biwi", "survey_biwi"],
    "biwi_files": ["CameraCalibration", "RigidPose", "read_calibration", "read_depth", "read_pose"],
    "conversion": ["convert_labels"],
    "landmarked": ["landmark_box", "read_300w_lp", "read_aflw2000", "survey_300w_lp", "survey_aflw2000"],
    "manifest": ["Manifest", "make_manifest", "read_manifest"],
    "pictures": ["check_images", "drop_unreadable", "write_report"],
    "pointing04": ["read_pointing04"],
    "protocols": [
        "PROTOCOLS",
        "Split",
        "best_fold",
        "by_sequence",
        "by_subject",
        "cross_dataset",
        "median_fold",
        "video_folds",
    ],
    "readers": ["READERS", "load_data", "read_folder", "read_text"],
    "report": ["AngleHistogram", "DataReport", "angle_histogram", "check_data"],
    "splits": ["known_subjects", "select_subjects", "split_by_subject", "subject_folds", "subsample"],
    "survey": ["BrokenFileError", "Survey"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
