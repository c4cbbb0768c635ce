"""Tables of faces: reading them, checking their pictures, splitting them. Knows nothing of models."""

from deepgllim.data.biwi import read_biwi
from deepgllim.data.biwi_files import read_depth
from deepgllim.data.landmarked import landmark_box, read_300w_lp, read_aflw2000
from deepgllim.data.manifest import Manifest, make_manifest, read_manifest
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
from deepgllim.data.readers import READERS, check_images, drop_unreadable, load_data, write_report
from deepgllim.data.report import DataReport, check_data
from deepgllim.data.splits import select_subjects, split_by_subject, subject_folds, subsample

__all__ = [
    "PROTOCOLS",
    "READERS",
    "DataReport",
    "Manifest",
    "Split",
    "best_fold",
    "by_sequence",
    "by_subject",
    "check_data",
    "check_images",
    "cross_dataset",
    "drop_unreadable",
    "landmark_box",
    "load_data",
    "make_manifest",
    "median_fold",
    "read_300w_lp",
    "read_aflw2000",
    "read_biwi",
    "read_depth",
    "read_manifest",
    "select_subjects",
    "split_by_subject",
    "subject_folds",
    "subsample",
    "video_folds",
    "write_report",
]
