"""OpenGL for the renderer: a context without a window, compiled shaders, clip matrices."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import RenderError
from deepgllim.synthetic.mesh import Material
from deepgllim.synthetic.scene import Array, Camera, Triple

if TYPE_CHECKING:
    import moderngl

NEAR, FAR = 0.05, 20.0
"""Distances of the clip planes, metres."""

REMEDY = "on Debian or Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri"
SHADOW_RADIUS = 0.34
"""Radius about the head within which shadows are cast, metres."""

CELLS = 32
"""Number of cells of the noise volume per side."""

_SHADERS = Path(__file__).with_name("shaders")


def open_context() -> "moderngl.Context":
    """Return a standalone EGL context.

    Raises:
        RenderError: EGL is missing, or no driver supports OpenGL 3.3.
        ModuleNotFoundError: moderngl is not installed.
    """
    import moderngl

    try:
        return moderngl.create_context(standalone=True, require=330, backend="egl")  # type: ignore[arg-type]
    except Exception as error:  # glcontext raises bare Exceptions
        raise RenderError(f"no picture can be rendered: EGL gives no context ({error}); {REMEDY}") from None


class Program:
    """A vertex and a fragment shader, compiled for one material.

    Args:
        context: graphics context.
        vertex, fragment: names of files in `shaders/`.
        material: material, which selects branches of the shaders.
    """

    def __init__(
        self, context: "moderngl.Context", vertex: str, fragment: str, material: Material = Material.SKIN
    ) -> None:
        self.program = context.program(_source(vertex, material), _source(fragment, material))
        self._uniforms: dict[str, Any] = {name: self.program[name] for name in self.program}

    @property
    def names(self) -> set[str]:
        """Names of the uniforms that the shaders use."""
        import moderngl

        return {name for name, entry in self._uniforms.items() if isinstance(entry, moderngl.Uniform)}

    def set(self, values: Mapping[str, Any]) -> None:
        """Set uniforms by name, matrices as (4, 4) arrays; names that the shaders do not use are ignored."""
        for name, value in values.items():
            uniform = self._uniforms.get(name)
            if uniform is None:
                continue
            if isinstance(value, np.ndarray):
                uniform.write(np.ascontiguousarray(value.T, dtype=np.float32).tobytes())
            else:
                uniform.value = value


def _source(name: str, material: Material) -> str:
    version, rest = (_SHADERS / name).read_text(encoding="utf-8").split("\n", 1)
    names = "".join(f"#define {each.name} {int(each)}\n" for each in Material)
    return f"{version}\n{names}#define MATERIAL {int(material)}\n#line 2\n{rest}"


def noise_volume() -> npt.NDArray[np.uint8]:
    """Return periodic noise, uint8, (32, 32, 32, 4), for linear interpolation."""
    rng = np.random.Generator(np.random.PCG64(2017))
    return rng.integers(0, 256, (CELLS, CELLS, CELLS, 4), dtype=np.uint8)


def projection(camera: Camera) -> Array:
    """Return the clip matrix of a pinhole camera, (4, 4); row 0 of the framebuffer is the top row of the image."""
    w, h, f, (cx, cy) = camera.width, camera.height, camera.focal, camera.centre
    return np.array(
        [
            [2 * f / w, 0, 2 * cx / w - 1, 0],
            [0, 2 * f / h, 2 * cy / h - 1, 0],
            [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
            [0, 0, 1, 0],
        ]
    )


def depth_to_metres(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Convert a depth buffer of `projection` to distances along z, metres; 0 where nothing was drawn."""
    z = 2 * FAR * NEAR / (FAR + NEAR - (2 * depth - 1) * (FAR - NEAR))
    return np.where(depth < 1, z, 0).astype(np.float32)


def shadow_projection(light: Triple, head: Triple) -> Array:
    """Return the clip matrix, (4, 4), of a light that illuminates head and shoulders."""
    target = np.add(head, (0.0, 0.04, 0.06))
    ahead = target - np.array(light)
    distance = max(float(np.linalg.norm(ahead)), 1.2 * SHADOW_RADIUS)
    axes = view_axes(ahead)
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = axes, -axes @ target + (0, 0, distance)
    near, far = max(0.05, distance - SHADOW_RADIUS), distance + SHADOW_RADIUS
    f = distance / SHADOW_RADIUS
    clip = np.array(
        [[f, 0, 0, 0], [0, f, 0, 0], [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)], [0, 0, 1, 0]]
    )
    return np.asarray(clip @ view)


def view_axes(direction: npt.ArrayLike) -> Array:
    """Return orthonormal axes, one per row, of which the last is the direction."""
    ahead = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    right = np.cross(ahead, (0.03, 1.0, 0.1))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead])
