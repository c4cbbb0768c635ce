"""Scenes to pixels with moderngl over EGL: shadow, backdrop, skin, hair, glasses; nothing is kept between pictures."""

from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.synthetic.backgrounds import render_background
from deepgllim.synthetic.gl import (
    CELLS,
    Program,
    distance_of_depth,
    looking_along,
    noise_volume,
    open_context,
    projection,
    shadow_projection,
)
from deepgllim.synthetic.layers import OPEN, hat_thickness, shells
from deepgllim.synthetic.mesh import Material, head_mesh
from deepgllim.synthetic.posing import head_vertices, to_camera
from deepgllim.synthetic.props import Mesh, cap_brim, glasses
from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Array, Scene
from deepgllim.synthetic.uniforms import scene_uniforms, srgb_to_linear

Floats = npt.NDArray[np.float32]
Uniforms = dict[str, Any]

SHADOW_SIZE = 256
OVERSAMPLING = 1.5
"""Drawn at so many times the size and reduced, against jagged edges; four samples a pixel cost Mesa twice as much."""

_UNITS: Uniforms = {
    "curves": 0,
    "shadow_map": 1,
    "picture": 2,
    "noise_volume": 3,
    "surface_position": 4,
    "surface_rest": 5,
    "surface_normal": 6,
}
"""Where the textures are bound."""


class RenderTarget(NamedTuple):
    """Framebuffers of a size.

    Attributes:
        colours: what is read in the end.
        surface: with the same depth, for `textures`: position, rest and normal of the skin that is seen.
        normals: of the last texture alone.
    """

    colours: Any
    surface: Any
    textures: tuple[Any, ...]
    normals: Any


class Prop(NamedTuple):
    """A thing worn, and what its shader is told besides."""

    material: Material
    mesh: Mesh
    uniforms: Uniforms


class Renderer:
    """One GL context without a window; use it from one thread, and close it.

    Raises:
        RenderError: there is no EGL or no driver.
        ModuleNotFoundError: moderngl is not installed.

    Example:
        >>> from deepgllim.synthetic.sets import SceneSampler
        >>> with Renderer() as renderer:  # doctest: +SKIP
        ...     renderer.draw(SceneSampler("wide", size=96)(0)).shape
        (96, 96, 3)
    """

    def __init__(self) -> None:
        self.context = gl = open_context()
        self.mesh = head_mesh()
        self._head = {material: Program(gl, "head.vert", "head.frag", material) for material in Material if material}
        self._surface = self._head[Material.SKIN] = Program(gl, "head.vert", "surface.frag")
        self._skin = Program(gl, "backdrop.vert", "head.frag", Material.SKIN)
        self._depth = {material: Program(gl, "head.vert", "depth.frag", material) for material in self.mesh.triangles}
        self._backdrop = Program(gl, "backdrop.vert", "backdrop.frag")
        corners = gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype=np.float32).tobytes())
        self._backdrop_quad, self._skin_quad = (
            gl.vertex_array(program.program, [(corners, "2f", "corner")]) for program in (self._backdrop, self._skin)
        )
        curves = gl.texture((256, 2), 2, self.mesh.curves.tobytes(), dtype="f4")
        curves.repeat_x = curves.repeat_y = False
        curves.use(_UNITS["curves"])
        gl.texture3d((CELLS, CELLS, CELLS), 4, noise_volume().tobytes()).use(_UNITS["noise_volume"])
        self._shadow_map = gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_map.compare_func = "<="
        self._shadow = gl.framebuffer(depth_attachment=self._shadow_map)
        self.units, self.programs = _UNITS, (*self._head.values(), *self._depth.values(), self._backdrop, self._skin)
        for program in self.programs:
            program.set(_UNITS)

        count = len(self.mesh.rest)
        self._moving = gl.buffer(reserve=count * 24)
        self._fixed = gl.buffer(self._fixed_attributes(np.ones(count, dtype=np.float32)))
        indices = {m: gl.buffer(t.astype(np.int32).tobytes()) for m, t in self.mesh.triangles.items()}
        self._head_arrays, self._depth_arrays = (
            {m: self._array(programs[m], self._moving, self._fixed, part) for m, part in indices.items()}
            for programs in (self._head, self._depth)
        )
        self._targets: dict[tuple[int, int], RenderTarget] = {}
        self._fixed.write(self._fixed_attributes(self._openness()))

    def draw(self, scene: Scene) -> npt.NDArray[np.uint8]:
        """The scene as the camera sees it, (H, W, 3), with the background, before blur, noise and patches.

        Raises:
            ImageError: a background picture that cannot be read.
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
        target.colours.use()
        target.colours.clear(depth=1.0)
        backdrop = gl.texture(size, 3, render_background(scene.background, *size).tobytes(), alignment=1)
        backdrop.repeat_x = backdrop.repeat_y = False
        backdrop.use(_UNITS["picture"])
        self._backdrop.set(uniforms)
        gl.disable(moderngl.DEPTH_TEST)
        self._backdrop_quad.render(moderngl.TRIANGLE_STRIP)
        gl.enable(moderngl.DEPTH_TEST)
        self._shadow_map.use(_UNITS["shadow_map"])
        uniforms["projection"] = projection(scene.camera)
        for material, layers, thickness in shells(scene):
            self._head[material].set(uniforms | {"volume": thickness})
            self._show_insides(material in OPEN)
            if material == Material.SKIN:
                self._draw_skin(target, uniforms)
                continue
            for layer in layers:
                self._head[material].set({"layer": layer})
                self._head_arrays[material].render()
        self._show_insides(True)
        gl.enable(moderngl.BLEND)
        for prop in props:
            self._draw_prop(prop, scene, uniforms)
        backdrop.release()
        large = Image.frombuffer("RGBX", target.colours.size, target.colours.read(components=4), "raw", "RGBX", 0, 1)
        return np.asarray(large.convert("RGB").resize(size, Image.Resampling.BOX))

    def depth(self, scene: Scene) -> Floats:
        """Distance along the camera's z to the person, (H, W), metres; 0 where nobody is."""
        self._place(scene)
        size = (scene.camera.width, scene.camera.height)
        uniforms = scene_uniforms(scene) | {"projection": projection(scene.camera)}
        return distance_of_depth(self._read_depth(size, lambda: self._draw_depth(scene, uniforms)))

    def close(self) -> None:
        """Give the context back."""
        self.context.release()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _place(self, scene: Scene) -> list[Prop]:
        """Upload the head's vertices and normals in the camera's frame; give the things worn, in the head's."""
        # makes the context current: another renderer of this thread may have drawn since
        self.context.__enter__()  # type: ignore[no-untyped-call]
        model, wear = self.mesh.model, scene.wear
        v = head_vertices(model, scene)
        normals = self.mesh.normals(v)
        self._upload(to_camera(v, scene), normals @ (scene.rotation @ HEAD_TO_CAMERA).T)
        props = []
        if wear.hat == "cap":
            brim = cap_brim(model, v, normals, hat_thickness(scene))
            props.append(Prop(Material.PROP, brim, {"prop_colour": srgb_to_linear(wear.hat_colour)}))
        if wear.glasses != "none":
            frames, lenses = glasses(model, v, model.eye_centres(scene.person.identity), wear)
            opacity = 0.88 if wear.glasses == "sun" else 0.05
            props.append(Prop(Material.PROP, frames, {"prop_colour": srgb_to_linear(wear.glasses_colour)}))
            props.append(Prop(Material.LENS, lenses, {"prop_colour": (0.03, 0.03, 0.035), "opacity": opacity}))
        return props

    def _upload(self, vertices: Array, normals: Array) -> None:
        """The model's V vertices and normals as the U that are drawn."""
        moving = np.concatenate([vertices, normals], axis=1, dtype=np.float32, casting="same_kind")
        self._moving.write(moving[self.mesh.model.source].tobytes())

    def _draw_depth(self, scene: Scene, uniforms: Uniforms) -> None:
        for material, layers, thickness in shells(scene):
            self._depth[material].set(uniforms | {"volume": thickness, "layer": layers[0]})
            self._depth_arrays[material].render()

    def _show_insides(self, shown: bool) -> None:
        """Whether triangles are drawn that are seen from inside."""
        import moderngl

        self.context.cull_face = "front"  # the picture is drawn upside down, which turns anticlockwise round
        (self.context.disable if shown else self.context.enable)(moderngl.CULL_FACE)

    def _draw_prop(self, prop: Prop, scene: Scene, uniforms: Uniforms) -> None:
        gl, mesh, n = self.context, prop.mesh, len(prop.mesh.vertices)
        normals = mesh.normals @ (scene.rotation @ HEAD_TO_CAMERA).T
        moving = np.concatenate([to_camera(mesh.vertices, scene), normals], axis=1)
        fixed = np.concatenate([mesh.vertices, np.zeros((n, 3)), np.ones((n, 1))], axis=1)
        buffers = [gl.buffer(np.ascontiguousarray(part, dtype=np.float32).tobytes()) for part in (moving, fixed)]
        indices = gl.buffer(mesh.triangles.astype(np.int32).tobytes())
        program = self._head[prop.material]
        program.set(uniforms | prop.uniforms)
        array = self._array(program, buffers[0], buffers[1], indices)
        array.render()
        for part in (array, *buffers, indices):
            part.release()

    def _array(self, program: Program, moving: Any, fixed: Any, indices: Any) -> Any:
        content = [(moving, "3f 3f", "position", "normal"), (fixed, "3f 2f 1f 1f", "rest", "uv", "lips", "openness")]
        return self.context.vertex_array(program.program, content, indices, skip_errors=True)

    def _fixed_attributes(self, openness: Floats) -> bytes:
        mesh = self.mesh
        columns = [mesh.rest, mesh.uv, mesh.lips[:, None], openness[:, None]]
        return np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32).tobytes()

    def _draw_skin(self, target: RenderTarget, uniforms: Uniforms) -> None:
        """First what is visible of it, then its shading, a pixel at a time."""
        import moderngl

        target.normals.clear()  # alone: depth stays, and the other two are read where this one was drawn
        target.surface.use()
        self._head_arrays[Material.SKIN].render()
        self._show_insides(True)
        target.colours.use()
        self._skin.set(uniforms)
        self.context.disable(moderngl.DEPTH_TEST)
        for name, texture in zip(("surface_position", "surface_rest", "surface_normal"), target.textures, strict=True):
            texture.use(_UNITS[name])
        self._skin_quad.render(moderngl.TRIANGLE_STRIP)
        self.context.enable(moderngl.DEPTH_TEST)

    def _target(self, size: tuple[int, int]) -> RenderTarget:
        if size not in self._targets:
            gl, depth = self.context, self.context.depth_renderbuffer(size)
            textures = [gl.texture(size, 4, dtype="f4") for _ in range(3)]
            colours, surface = gl.framebuffer([gl.renderbuffer(size, 4)], depth), gl.framebuffer(textures, depth)
            self._targets[size] = RenderTarget(colours, surface, tuple(textures), gl.framebuffer([textures[2]]))
        return self._targets[size]

    def _read_depth(self, size: tuple[int, int], draw: Any) -> Floats:
        """The depth buffer after a drawing, (H, W), in [0, 1]."""
        import moderngl

        buffer = self.context.depth_texture(size)
        target = self.context.framebuffer(depth_attachment=buffer)
        target.use()
        target.clear(depth=1.0)
        self.context.enable_only(moderngl.DEPTH_TEST)
        draw()
        depth = np.frombuffer(buffer.read(), dtype=np.float32).reshape(size[1], size[0])
        target.release()
        buffer.release()
        return depth

    def _openness(self, directions: int = 40, size: int = 160) -> Floats:
        """The share of the light from everywhere that reaches each drawn vertex of the mean head, (U,), in [0, 1]."""
        v = self.mesh.model.mean.astype(np.float64)
        normals = self.mesh.normals(v).astype(np.float64)
        self._upload(v, normals)
        seen, total = np.zeros(len(v)), np.zeros(len(v))
        program, skin = self._depth[Material.SKIN], self._depth_arrays[Material.SKIN]
        k = np.arange(directions) + 0.5
        height, turn = 1 - 2 * k / directions, np.pi * (1 + 5**0.5) * k
        for z, a in zip(height, turn, strict=True):
            towards = np.array([np.cos(a) * np.sqrt(1 - z * z), np.sin(a) * np.sqrt(1 - z * z), z])
            clip = np.eye(4)
            clip[:3, :3] = looking_along(-towards) / 0.32  # a cube about the head
            clip[:3, 3] = -clip[:3, :3] @ (0.0, -0.06, -0.07)
            program.set({"projection": clip, "volume": 0.0, "layer": 0.0})
            depth = self._read_depth((size, size), skin.render)
            place = (v @ clip[:3, :3].T + clip[:3, 3]) * 0.5 + 0.5
            x, y = (place[:, :2] * size).astype(int).clip(0, size - 1).T
            facing = (normals @ towards).clip(0)
            seen += facing * (depth[y, x] + 0.012 > place[:, 2])
            total += facing
        return np.asarray((seen / total.clip(1e-6))[self.mesh.model.source], dtype=np.float32)
