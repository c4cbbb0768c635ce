"""Test the import rules of docs/architecture.md, and which modules an import loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "deepgllim"
PACKAGE = "deepgllim"
FOUNDATION = ("errors", "forking", "metrics", "storage", "geometry.rotations", "geometry.conventions", "imaging.images")
HEAVY = (
    *("torch", "sklearn", "pandas", "matplotlib", "scipy", "pydantic", "safetensors", "cyclopts", "rich", "numpy"),
    *("fastapi", "uvicorn", "prometheus_client"),
)

# who (a part of the package) may not import what (parts of the package, or other packages by "name:")
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "errors": ("*",),
    "forking": ("*", "torch:"),
    "lazy": ("*",),
    "metrics": ("gllim", "nn", "data", "imaging", "torch:"),
    "storage": ("gllim", "nn", "data", "imaging", "geometry"),
    "geometry": ("gllim", "nn", "data", "imaging", "storage", "torch:"),
    "imaging": ("gllim", "nn", "data", "torch:"),
    "synthetic": ("gllim", "nn", "data", "distributions", "estimator", "runs", "apps", "evaluation", "torch:"),
    "pose": (
        *("gllim", "nn", "data", "distributions", "estimator", "synthetic", "runs", "apps", "evaluation"),
        *("torch:", "pandas:", "scipy:", "sklearn:", "matplotlib:"),
    ),
    "data": ("gllim", "nn", "distributions", "runs", "apps", "evaluation", "torch:"),
    "gllim": ("nn", "data", "imaging", "distributions", "estimator", "runs", "apps", "evaluation", "metrics"),
    "distributions": ("nn", "data", "imaging", "gllim", "runs", "apps", "evaluation", "metrics"),
    "estimator": ("nn", "data", "imaging", "runs", "apps", "evaluation", "metrics"),
    "evaluation": ("gllim", "nn", "distributions", "estimator", "synthetic", "runs", "apps", "torch:"),
    "evaluation.plots": ("nn", "data", "imaging", "runs", "apps"),
    "nn": ("runs", "apps", "evaluation", "data", "estimator"),
    "runs": ("apps", "evaluation"),
    "apps": ("gllim", "estimator"),
}
# inside gllim, nn and synthetic, each may import those before it, and no later one
GLLIM_LAYERS = (
    ("arrays", "checks", "covariances", "densities", "distributed", "monitor", "parameters"),
    ("blocks", "likelihood", "sampling", "scaling", "spec"),
    ("moments", "prediction", "inverse"),
    ("missing", "conditional", "rows"),
    ("statistics",),
    ("initialisation", "latents", "maximisation", "removal"),
    ("options",),
    ("em",),
    ("selection", "stream"),
)
STORAGE_LAYERS = (("allocation", "atomic", "locks", "regular"), ("tensors",))
SYNTHETIC_LAYERS = (
    ("heads", "miniature"),
    ("head_file", "people"),
    ("scene", "mesh"),
    ("posing", "backgrounds", "layers", "uniforms", "gl", "sets"),
    ("props", "buffers", "visibility", "randomisation"),
    ("sampler", "renderer"),
    ("capture", "records"),
    ("pictures",),
    ("biwi",),
    ("layouts",),
    ("workers",),
    ("output",),
)
POSE_LAYERS = (
    ("checks", "mixture", "runtime", "pictures", "detection.boxes", "detection.grid"),
    ("propagation", "calibration", "camera", "agreement", "detection.search"),
    ("estimate",),
    ("words", "records"),
    ("result",),
    ("targets", "network", "conformal", "detection.centerface", "detection.blazeface"),
    ("detection.faces",),
    ("predictor",),
    ("video.containers", "video.decoding", "video.encoding", "video.motion"),
    ("video.smoothing", "video.frames"),
    ("video.tracking",),
    ("video.following",),
    ("batch.sources", "batch.progress", "batch.annotate", "batch.formats"),
    ("batch.destinations",),
    ("batch.tables", "batch.scanning"),
    ("batch.reports",),
    ("scoring.options", "scoring.entries", "scoring.locations", "scoring.model"),
    ("scoring.archives", "scoring.tables", "scoring.listing", "scoring.rows"),
    ("scoring.manifests",),
    ("scoring.shards",),
    ("scoring.reading",),
    ("scoring.scorer",),
    ("scoring.folder", "scoring.engine_local", "scoring.engine_ray"),
    ("scoring.run",),
)
LAYERS = (
    ("sections", "distributed"),
    ("config", "reporting", "backbones.weights", "backbones.depthwise", "map_density", "step_noise"),
    ("backbones.efficientnet", "backbones.vgg", "backbones.backbone", "augmentation", "head"),
    ("export.activations", "export.graph"),
    ("backbones.facemesh", "inputs"),
    ("backbones.registry", "batches"),
    ("model", "inverse_regression", "export.heads"),
    ("model_file", "objectives", "optimization", "evaluation", "features", "guard", "network_step"),
    ("export.map_density",),
    ("export.onnx_file",),
    ("progress", "export.verification"),
    ("checkpoint", "map_fitting"),
    ("start",),
    ("training",),
)

PARTS = (
    *(("nn", LAYERS), ("gllim", GLLIM_LAYERS), ("synthetic", SYNTHETIC_LAYERS), ("pose", POSE_LAYERS)),
    ("storage", STORAGE_LAYERS),
)
ROOMS = ("detection", "video", "batch", "scoring", "backbones", "export")
"""Folders inside a part; their `__init__` only exports names."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the name of a module below the package, such as "nn.head"; "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[str]:
    """Return the full names of all modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner(path: Path) -> set[str]:
    """Return the modules and names of the package that a file imports."""
    return {name.removeprefix(f"{PACKAGE}.") for name in imports(path) if name.startswith(f"{PACKAGE}.")}


def breaches(path: Path, forbidden: tuple[str, ...]) -> set[str]:
    found = set()
    for what in forbidden:
        if what.endswith(":"):
            found |= {name for name in imports(path) if name.split(".")[0] == what[:-1]}
        else:
            found |= {name for name in inner(path) if what == "*" or name.split(".")[0] == what}
    return found


def test_the_rules_name_what_is_there() -> None:
    """A renamed part fails this test instead of escaping the rules."""
    parts = {name_of(path).split(".")[0] for path in modules()} - {""}
    named = {rule.split(".")[0] for rule in FORBIDDEN} | {
        part for rule in FORBIDDEN.values() for part in rule if part[-1] not in ":*"
    }
    assert named <= parts
    assert parts - named == {"__main__", "cli", "recipes"}
    for part, layers in PARTS:
        layered = {f"{part}.{module}" for layer in layers for module in layer}
        inside = {name_of(path) for path in modules() if name_of(path).startswith(f"{part}.")}
        assert layered == inside - {f"{part}.{room}" for room in ROOMS}


def test_a_breach_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "def f():\n    from deepgllim.nn.head import Head\n    import torch.nn\n    from deepgllim import runs\n"
    )
    assert breaches(path, ("nn",)) == {"nn.head", "nn.head.Head"}
    assert breaches(path, ("torch:",)) == {"torch.nn"}
    assert breaches(path, ("runs",)) == {"runs"}
    assert breaches(path, ("gllim",)) == set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: name_of(path) or PACKAGE)
def test_imports_point_down(path: Path) -> None:
    part = name_of(path).split(".")[0]
    assert not breaches(path, FORBIDDEN.get(name_of(path), FORBIDDEN.get(part, ())))
    if part not in ("__main__", "cli"):
        assert not breaches(path, ("cli",)), "only cli imports cli"
    assert not breaches(path, ("experiments:", "research:", "benchmarks:", "tests:"))


@pytest.mark.parametrize(("part", "layers"), PARTS)
def test_inside_a_part_imports_point_down_too(part: str, layers: tuple[tuple[str, ...], ...]) -> None:
    height = {module: i for i, layer in enumerate(layers) for module in layer}
    for module, own in height.items():
        names = inner(SOURCE / part / f"{module.replace('.', '/')}.py")
        used = {name.removeprefix(f"{part}.") for name in names if name.startswith(f"{part}.")}
        above = {other for other in used if height.get(other, -1) >= own and other != module}
        assert not above, f"{part}.{module} imports {above}"


def test_experiments_research_and_benchmarks_are_imported_by_nothing_else() -> None:
    own = ("benchmarks", "experiments", "research")
    for path in (path for path in (ROOT / "tests").rglob("*.py") if path.parent.name not in own):
        assert not breaches(path, ("experiments:", "research:", "benchmarks:")), path
    for path in (
        path for folder in ("experiments", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
    ):
        assert not breaches(path, ("research:",)), path


@pytest.mark.parametrize("path", modules(), ids=lambda path: name_of(path) or PACKAGE)
def test_only_the_command_line_prints(path: Path) -> None:
    if name_of(path).split(".")[0] == "cli":
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    assert "print" not in names
    texts = [ast.unparse(node.func) for node in calls]
    assert not [text for text in texts if text.startswith(("sys.stdout", "sys.stderr"))]


IMPORTERS = ("import_module", "__import__", "importorskip")


def names_onnxruntime(path: Path) -> bool:
    """Return whether a file imports onnxruntime, or passes its name to an import function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in IMPORTERS:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if any(text.split(".")[0] == "onnxruntime" for text in texts):
                return True
    return bool(breaches(path, ("onnxruntime:",)))


def test_onnxruntime_is_imported_where_its_telemetry_is_off() -> None:
    """onnxruntime sends data unless a variable is set before its import, so only one module imports it."""
    folders = ("src", "benchmarks", "experiments", "research", "examples", "tools", "tests")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if names_onnxruntime(path)]
    assert found == [SOURCE / "pose" / "runtime.py"]


@pytest.mark.parametrize(
    "statement", ["import onnxruntime as ort", "from onnxruntime.capi import x", "import_module('onnxruntime')"]
)
def test_another_import_of_onnxruntime_would_be_found(statement: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(f"def f():\n    {statement}\n")
    assert names_onnxruntime(tmp_path / "bad.py")


def test_nothing_unpickles() -> None:
    """Files from outside are safetensors and JSON; torch.load only where it reads nothing but tensors."""
    for path in modules():
        assert not breaches(path, ("pickle:", "joblib:", "dill:", "shelve:")), path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load"):
                options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert options.get("weights_only") == "True" or options.get("allow_pickle") != "True", path
                assert ast.unparse(node.func) != "torch.load" or options.get("weights_only") == "True", path


OPENERS = ("Image.open", "PIL.Image.open", "ImageFile.Parser", "imread", "imageio")


def opens_pictures(code: str) -> list[str]:
    """Return the calls of a module that open a picture of any format."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    names = [ast.unparse(node.func) for node in calls]
    return [name for name in names if name in OPENERS or name.split(".")[-1] in OPENERS]


def test_pictures_are_opened_in_one_place_and_by_a_list_of_formats() -> None:
    """Pillow detects formats by content, and would execute an EPS file named photo.jpg."""
    found = {name_of(path) for path in modules() if opens_pictures(path.read_text(encoding="utf-8"))}
    assert found == {"imaging.files"}
    assert opens_pictures("with Image.open(path) as image: plt.imread(path)") == ["Image.open", "plt.imread"]
    assert "Image.open(file, formats=FORMATS)" in (SOURCE / "imaging" / "files.py").read_text(encoding="utf-8")
    imported = [path for path in modules() if {"PIL.Image.open", "PIL.ImageFile"} & set(imports(path))]
    assert not imported


def loaded(statement: str) -> set[str]:
    """Return the top-level modules that a statement loads in a new interpreter."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_large() -> None:
    before = loaded("pass")  # what the interpreter loads by itself
    assert not (loaded(f"import {PACKAGE}") - before) & set(HEAVY)


def test_the_foundation_and_the_data_load_without_torch() -> None:
    parts = ", ".join(
        f"{PACKAGE}.{part}" for part in (*FOUNDATION, "data.readers", "evaluation.faces", "pose.predictor")
    )
    found = loaded(f"import {parts}")
    assert not found & {"torch", "sklearn", "matplotlib"}
    assert "numpy" in found  # the probe sees what is loaded


def test_the_command_line_starts_without_torch() -> None:
    assert not loaded(f"import {PACKAGE}.cli.app") & {"torch", "sklearn", "pandas", "matplotlib"}
