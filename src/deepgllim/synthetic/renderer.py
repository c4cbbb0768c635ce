"""Rendering of scenes with moderngl over EGL: shadow map, background, skin, hair, glasses."""

from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.synthetic.backgrounds import render_background
from deepgllim.synthetic.buffers import HeadBuffers, RenderTarget, read_depth, render_target, vertex_array
from deepgllim.synthetic.gl import (
    CELLS,
    Program,
    depth_to_metres,
    noise_volume,
    open_context,
    projection,
    shadow_projection,
)
from deepgllim.synthetic.heads import Floats
from deepgllim.synthetic.layers import TWO_SIDED, shells
from deepgllim.synthetic.mesh import Material, head_mesh
from deepgllim.synthetic.posing import head_vertices, to_camera
from deepgllim.synthetic.props import Prop, worn_props
from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Array, Scene
from deepgllim.synthetic.uniforms import Uniforms, scene_uniforms
from deepgllim.synthetic.visibility import SIZE, ambient_visibility

SHADOW_SIZE = 256
OVERSAMPLING = 1.5
"""Images are rendered at this multiple of their size against aliasing; multisampling is twice as slow in Mesa."""

_UNITS: Uniforms = {
    "curves": 0,
    "shadow_map": 1,
    "picture": 2,
    "noise_volume": 3,
    "surface_position": 4,
    "surface_rest": 5,
    "surface_normal": 6,
}
"""Texture units."""


class Renderer:
    """Render scenes in a graphics context without a window. Use it in one thread, as a context manager or with `close`.

    A rendered image does not depend on the scenes before it.

    Raises:
        RenderError: EGL or a driver is missing.
        ModuleNotFoundError: moderngl is not installed.

    Example:
        >>> from deepgllim.synthetic import SceneSampler
        >>> with Renderer() as renderer:  # doctest: +SKIP
        ...     renderer.draw(SceneSampler("wide", size=96)(0)).shape
        (96, 96, 3)
    """

    def __init__(self) -> None:
        self.context = gl = open_context()
        self.mesh = head_mesh()
        self._head = {material: Program(gl, "head.vert", "head.frag", material) for material in Material if material}
        self._head[Material.SKIN] = Program(gl, "head.vert", "surface.frag")
        self._skin = Program(gl, "backdrop.vert", "head.frag", Material.SKIN)
        self._depth = {material: Program(gl, "head.vert", "depth.frag", material) for material in self.mesh.triangles}
        self._backdrop = Program(gl, "backdrop.vert", "backdrop.frag")
        corners = gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype=np.float32).tobytes())
        self._backdrop_quad, self._skin_quad = (
            gl.vertex_array(program.program, [(corners, "2f", "corner")]) for program in (self._backdrop, self._skin)
        )
        self._bind_textures()
        self.units, self.programs = _UNITS, (*self._head.values(), *self._depth.values(), self._backdrop, self._skin)
        for program in self.programs:
            program.set(_UNITS)
        self._buffers = HeadBuffers(gl, self.mesh)
        self._head_arrays, self._depth_arrays = self._buffers.arrays(self._head), self._buffers.arrays(self._depth)
        self._targets: dict[tuple[int, int], RenderTarget] = {}
        self._buffers.upload(self.mesh.model.mean, self.mesh.normals(self.mesh.model.mean))
        self._buffers.set_visibility(ambient_visibility(self.mesh, self._depth_map))

    def draw(self, scene: Scene) -> npt.NDArray[np.uint8]:
        """Render the scene with its background, before the effects of the camera.

        Returns:
            RGB, uint8, (H, W, 3).

        Raises:
            ImageError: the image of the background cannot be read.
        """
        import moderngl

        gl, size = self.context, (scene.camera.width, scene.camera.height)
        props = self._place(scene)
        light = shadow_projection(scene.lights[0].position, scene.camera.translation)
        uniforms = scene_uniforms(scene) | {"shadow_projection": light}
        gl.enable_only(moderngl.DEPTH_TEST)
        self._shadow.use()
        self._shadow.clear(depth=1.0)
        self._draw_depth(scene, uniforms | {"projection": light})

        target = self._target((round(OVERSAMPLING * size[0]), round(OVERSAMPLING * size[1])))
        self._draw_background(scene, target, uniforms)
        self._shadow_map.use(_UNITS["shadow_map"])
        uniforms["projection"] = projection(scene.camera)
        self._draw_head(scene, target, uniforms)
        self._draw_back_faces(True)
        gl.enable(moderngl.BLEND)
        for prop in props:
            self._draw_prop(prop, scene, uniforms)
        large = Image.frombuffer("RGBX", target.colours.size, target.colours.read(components=4), "raw", "RGBX", 0, 1)
        return np.asarray(large.convert("RGB").resize(size, Image.Resampling.BOX))

    def depth(self, scene: Scene) -> Floats:
        """Return the distance to the person along the z axis of the camera, (H, W), metres; 0 in the background."""
        self._place(scene)
        size = (scene.camera.width, scene.camera.height)
        uniforms = scene_uniforms(scene) | {"projection": projection(scene.camera)}
        return depth_to_metres(read_depth(self.context, size, lambda: self._draw_depth(scene, uniforms)))

    def close(self) -> None:
        """Release the context."""
        self.context.release()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _bind_textures(self) -> None:
        """Create the textures that all scenes share, and the shadow map."""
        gl = self.context
        curves = gl.texture((256, 2), 2, self.mesh.curves.tobytes(), dtype="f4")
        curves.repeat_x = curves.repeat_y = False
        curves.use(_UNITS["curves"])
        gl.texture3d((CELLS, CELLS, CELLS), 4, noise_volume().tobytes()).use(_UNITS["noise_volume"])
        self._shadow_map = gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_map.compare_func = "<="
        self._shadow = gl.framebuffer(depth_attachment=self._shadow_map)

    def _depth_map(self, clip: Array) -> Floats:
        """Render the skin of the uploaded vertices with a clip matrix, (4, 4)."""
        self._depth[Material.SKIN].set({"projection": clip, "volume": 0.0, "layer": 0.0})
        return read_depth(self.context, (SIZE, SIZE), self._depth_arrays[Material.SKIN].render)

    def _place(self, scene: Scene) -> list[Prop]:
        """Upload the vertices of the head in the camera frame, and return the props in the head frame."""
        # makes the context current, since another renderer of this thread may have been used
        self.context.__enter__()  # type: ignore[no-untyped-call]
        v = head_vertices(self.mesh.model, scene)
        normals = self.mesh.normals(v)
        self._buffers.upload(to_camera(v, scene), normals @ (scene.rotation @ HEAD_TO_CAMERA).T)
        return worn_props(self.mesh.model, scene, v, normals)

    def _draw_depth(self, scene: Scene, uniforms: Uniforms) -> None:
        for material, layers, thickness in shells(scene):
            self._depth[material].set(uniforms | {"volume": thickness, "layer": layers[0]})
            self._depth_arrays[material].render()

    def _draw_background(self, scene: Scene, target: RenderTarget, uniforms: Uniforms) -> None:
        """Clear the target and draw the background."""
        import moderngl

        gl, size = self.context, (scene.camera.width, scene.camera.height)
        target.colours.use()
        target.colours.clear(depth=1.0)
        backdrop = gl.texture(size, 3, render_background(scene.background, *size).tobytes(), alignment=1)
        backdrop.repeat_x = backdrop.repeat_y = False
        backdrop.use(_UNITS["picture"])
        self._backdrop.set(uniforms)
        gl.disable(moderngl.DEPTH_TEST)
        self._backdrop_quad.render(moderngl.TRIANGLE_STRIP)
        gl.enable(moderngl.DEPTH_TEST)
        backdrop.release()

    def _draw_head(self, scene: Scene, target: RenderTarget, uniforms: Uniforms) -> None:
        for material, layers, thickness in shells(scene):
            self._head[material].set(uniforms | {"volume": thickness})
            self._draw_back_faces(material in TWO_SIDED)
            if material == Material.SKIN:
                self._draw_skin(target, uniforms)
                continue
            for layer in layers:
                self._head[material].set({"layer": layer})
                self._head_arrays[material].render()

    def _draw_skin(self, target: RenderTarget, uniforms: Uniforms) -> None:
        """Draw the visible surface of the skin into textures, then shade each pixel once (deferred shading)."""
        import moderngl

        target.normals.clear()  # the depth buffer is kept; the other textures are read where this one was drawn
        target.surface.use()
        self._head_arrays[Material.SKIN].render()
        self._draw_back_faces(True)
        target.colours.use()
        self._skin.set(uniforms)
        self.context.disable(moderngl.DEPTH_TEST)
        for name, texture in zip(("surface_position", "surface_rest", "surface_normal"), target.textures, strict=True):
            texture.use(_UNITS[name])
        self._skin_quad.render(moderngl.TRIANGLE_STRIP)
        self.context.enable(moderngl.DEPTH_TEST)

    def _draw_prop(self, prop: Prop, scene: Scene, uniforms: Uniforms) -> None:
        gl, mesh, n = self.context, prop.mesh, len(prop.mesh.vertices)
        normals = mesh.normals @ (scene.rotation @ HEAD_TO_CAMERA).T
        moving = np.concatenate([to_camera(mesh.vertices, scene), normals], axis=1)
        fixed = np.concatenate([mesh.vertices, np.zeros((n, 3)), np.ones((n, 1))], axis=1)
        buffers: list[Any] = [gl.buffer(np.ascontiguousarray(part, np.float32).tobytes()) for part in (moving, fixed)]
        buffers.append(gl.buffer(mesh.triangles.astype(np.int32).tobytes()))
        program = self._head[prop.material]
        program.set(uniforms | prop.uniforms)
        array = vertex_array(gl, program, *buffers)
        array.render()
        for part in (array, *buffers):
            part.release()

    def _draw_back_faces(self, drawn: bool) -> None:
        """Enable or disable the drawing of triangles that are seen from behind."""
        import moderngl

        self.context.cull_face = "front"  # the image is rendered upside down, which reverses the orientation
        (self.context.disable if drawn else self.context.enable)(moderngl.CULL_FACE)

    def _target(self, size: tuple[int, int]) -> RenderTarget:
        if size not in self._targets:
            self._targets[size] = render_target(self.context, size)
        return self._targets[size]
