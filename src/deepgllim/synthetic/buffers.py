"""Buffers of the graphics context: the vertices of the head and of things worn, and framebuffers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.gl import Program
from deepgllim.synthetic.heads import Floats
from deepgllim.synthetic.mesh import HeadMesh, Material

if TYPE_CHECKING:
    import moderngl


class HeadBuffers:
    """The vertex buffers of the head: position and normal change with the scene, the other attributes do not.

    Args:
        context: graphics context.
        mesh: mesh of the head.
    """

    def __init__(self, context: "moderngl.Context", mesh: HeadMesh) -> None:
        self._context, self._mesh = context, mesh
        count = len(mesh.rest)
        self._moving = context.buffer(reserve=count * 24)
        self._fixed = context.buffer(self._attributes(np.ones(count, dtype=np.float32)))
        self._indices = {m: context.buffer(t.astype(np.int32).tobytes()) for m, t in mesh.triangles.items()}

    def arrays(self, programs: Mapping[Material, Program]) -> dict[Material, Any]:
        """Return the vertex array of each material."""
        return {
            material: vertex_array(self._context, programs[material], self._moving, self._fixed, indices)
            for material, indices in self._indices.items()
        }

    def upload(self, vertices: npt.NDArray[np.floating], normals: npt.NDArray[np.floating]) -> None:
        """Write vertices and normals of the model, (V, 3), in the frame of the vertex shader."""
        moving = np.concatenate([vertices, normals], axis=1, dtype=np.float32, casting="same_kind")
        self._moving.write(moving[self._mesh.model.source].tobytes())

    def set_visibility(self, visibility: Floats) -> None:
        """Write the ambient visibility of the drawn vertices, (U,)."""
        self._fixed.write(self._attributes(visibility))

    def _attributes(self, visibility: Floats) -> bytes:
        columns = [self._mesh.rest, self._mesh.uv, self._mesh.lips[:, None], visibility[:, None]]
        return np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32).tobytes()


def vertex_array(context: "moderngl.Context", program: Program, moving: Any, fixed: Any, indices: Any) -> Any:
    """Return the vertex array of a program from buffers of moving and fixed attributes."""
    content = [(moving, "3f 3f", "position", "normal"), (fixed, "3f 2f 1f 1f", "rest", "uv", "lips", "visibility")]
    return context.vertex_array(program.program, content, indices, skip_errors=True)


class RenderTarget(NamedTuple):
    """Framebuffers of one size.

    Attributes:
        colours: framebuffer of the image.
        surface: framebuffer of `textures`, with the same depth buffer.
        textures: position, rest position and normal of the visible skin.
        normals: framebuffer of the last texture alone.
    """

    colours: Any
    surface: Any
    textures: tuple[Any, ...]
    normals: Any


def render_target(context: "moderngl.Context", size: tuple[int, int]) -> RenderTarget:
    """Return new framebuffers of a size, (width, height)."""
    depth = context.depth_renderbuffer(size)
    textures = [context.texture(size, 4, dtype="f4") for _ in range(3)]
    colours, surface = context.framebuffer([context.renderbuffer(size, 4)], depth), context.framebuffer(textures, depth)
    return RenderTarget(colours, surface, tuple(textures), context.framebuffer([textures[2]]))


def read_depth(context: "moderngl.Context", size: tuple[int, int], draw: Callable[[], None]) -> Floats:
    """Return the depth buffer after a drawing, (H, W), in [0, 1]."""
    import moderngl

    buffer = context.depth_texture(size)
    target = context.framebuffer(depth_attachment=buffer)
    target.use()
    target.clear(depth=1.0)
    context.enable_only(moderngl.DEPTH_TEST)
    draw()
    depth = np.frombuffer(buffer.read(), dtype=np.float32).reshape(size[1], size[0])
    target.release()
    buffer.release()
    return depth
