"""Safe opening of images, crops, conversion to arrays, and drawing, with Pillow and numpy."""

from deepgllim.imaging.conversion import Pixels, to_array, to_image, to_rgb
from deepgllim.imaging.drawing import AXIS_COLOURS, draw_arrow, draw_axes, write_label
from deepgllim.imaging.files import FORMATS, PictureFile
from deepgllim.imaging.images import Box, checked_box, checked_face, crop, crop_face, image_size, open_image, square_box

__all__ = [
    "AXIS_COLOURS",
    "FORMATS",
    "Box",
    "PictureFile",
    "Pixels",
    "checked_box",
    "checked_face",
    "crop",
    "crop_face",
    "draw_arrow",
    "draw_axes",
    "image_size",
    "open_image",
    "square_box",
    "to_array",
    "to_image",
    "to_rgb",
    "write_label",
]
