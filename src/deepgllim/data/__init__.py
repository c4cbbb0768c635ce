"""Tables of faces: reading them, checking their pictures, splitting them. Knows nothing of models."""

from deepgllim.data.landmarked import landmark_box, read_300w_lp, read_aflw2000
from deepgllim.data.manifest import Manifest, make_manifest, read_manifest
from deepgllim.data.readers import READERS, check_images, drop_unreadable, load_data, write_report
from deepgllim.data.report import DataReport, check_data
from deepgllim.data.splits import select_subjects, split_by_subject, subject_folds, subsample

__all__ = [
    "READERS",
    "DataReport",
    "Manifest",
    "check_data",
    "check_images",
    "drop_unreadable",
    "landmark_box",
    "load_data",
    "make_manifest",
    "read_300w_lp",
    "read_aflw2000",
    "read_manifest",
    "select_subjects",
    "split_by_subject",
    "subject_folds",
    "subsample",
    "write_report",
]
