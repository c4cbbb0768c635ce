"""Rendered heads of synthetic people with exact labels.

`SceneSampler` samples scene n of a set, `Renderer` renders it, and `render_set` writes whole sets. The public names are
imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.synthetic.backgrounds import render_background
    from deepgllim.synthetic.capture import apply_capture, encode_jpeg
    from deepgllim.synthetic.head_file import load_head_model
    from deepgllim.synthetic.heads import HeadModel, Identity
    from deepgllim.synthetic.miniature import TEST_PEOPLE, bundled_miniature, pack_miniature, unpack_miniature
    from deepgllim.synthetic.output import CONFIGURATION, render_set
    from deepgllim.synthetic.people import Appearance, Person, random_person
    from deepgllim.synthetic.pictures import SceneRenderer
    from deepgllim.synthetic.posing import Labels, fit_camera, head_vertices, label, to_camera
    from deepgllim.synthetic.renderer import Renderer
    from deepgllim.synthetic.sampler import ASPECTS, Aspect, SceneSampler
    from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Background, Camera, Capture, Light, Scene, Wear
    from deepgllim.synthetic.sets import SETS, SetSpec

_MODULES = {
    "backgrounds": ["render_background"],
    "capture": ["apply_capture", "encode_jpeg"],
    "head_file": ["load_head_model"],
    "heads": ["HeadModel", "Identity"],
    "miniature": ["TEST_PEOPLE", "bundled_miniature", "pack_miniature", "unpack_miniature"],
    "output": ["CONFIGURATION", "render_set"],
    "people": ["Appearance", "Person", "random_person"],
    "pictures": ["SceneRenderer"],
    "posing": ["Labels", "fit_camera", "head_vertices", "label", "to_camera"],
    "renderer": ["Renderer"],
    "sampler": ["ASPECTS", "Aspect", "SceneSampler"],
    "scene": ["HEAD_TO_CAMERA", "Background", "Camera", "Capture", "Light", "Scene", "Wear"],
    "sets": ["SETS", "SetSpec"],
}

__all__ = [
    "ASPECTS",
    "CONFIGURATION",
    "HEAD_TO_CAMERA",
    "SETS",
    "TEST_PEOPLE",
    "Appearance",
    "Aspect",
    "Background",
    "Camera",
    "Capture",
    "HeadModel",
    "Identity",
    "Labels",
    "Light",
    "Person",
    "Renderer",
    "Scene",
    "SceneRenderer",
    "SceneSampler",
    "SetSpec",
    "Wear",
    "apply_capture",
    "bundled_miniature",
    "encode_jpeg",
    "fit_camera",
    "head_vertices",
    "label",
    "load_head_model",
    "pack_miniature",
    "random_person",
    "render_background",
    "render_set",
    "to_camera",
    "unpack_miniature",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
