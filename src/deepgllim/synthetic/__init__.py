"""Synthetic people: any number of them, in any pose, drawn with labels that are exact.

A `SceneSampler` says what picture n of a set shows, `Renderer` draws it, `render_set` writes whole sets.
"""

from deepgllim.synthetic.heads import HeadModel, Identity, load_head_model
from deepgllim.synthetic.output import render_set
from deepgllim.synthetic.people import Appearance, Person, random_person
from deepgllim.synthetic.posing import Labels, label
from deepgllim.synthetic.renderer import Renderer
from deepgllim.synthetic.scene import Background, Camera, Capture, Light, Scene, Wear
from deepgllim.synthetic.sets import SETS, SceneSampler

__all__ = [
    "SETS",
    "Appearance",
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
    "SceneSampler",
    "Wear",
    "label",
    "load_head_model",
    "random_person",
    "render_set",
]
