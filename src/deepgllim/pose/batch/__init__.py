"""Many images and videos: sources, poses in batches, tables, reports and annotated copies.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.pose.batch.annotate import draw_poses
    from deepgllim.pose.batch.destinations import Destinations, file_destination, folder_destinations
    from deepgllim.pose.batch.formats import csv_lines
    from deepgllim.pose.batch.progress import FinishedSource
    from deepgllim.pose.batch.reports import convention_angles, in_convention, record, row_columns, rows
    from deepgllim.pose.batch.scanning import Camera, ScanOptions, ScanResult, scan_pictures, scan_video
    from deepgllim.pose.batch.sources import Source, Sources, find_sources
    from deepgllim.pose.batch.tables import TableWriter, can_resume

__all__ = [
    "Camera",
    "Destinations",
    "FinishedSource",
    "ScanOptions",
    "ScanResult",
    "Source",
    "Sources",
    "TableWriter",
    "can_resume",
    "convention_angles",
    "csv_lines",
    "draw_poses",
    "file_destination",
    "find_sources",
    "folder_destinations",
    "in_convention",
    "record",
    "row_columns",
    "rows",
    "scan_pictures",
    "scan_video",
]

_MODULES = {
    "annotate": ["draw_poses"],
    "destinations": ["Destinations", "file_destination", "folder_destinations"],
    "formats": ["csv_lines"],
    "progress": ["FinishedSource"],
    "reports": ["convention_angles", "in_convention", "record", "row_columns", "rows"],
    "scanning": ["Camera", "ScanOptions", "ScanResult", "scan_pictures", "scan_video"],
    "sources": ["Source", "Sources", "find_sources"],
    "tables": ["TableWriter", "can_resume"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
